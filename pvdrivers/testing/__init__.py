"""Emulated peers and fixtures for people who write PV drivers; our own tests use them too."""
