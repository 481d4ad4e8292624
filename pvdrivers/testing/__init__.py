"""Test doubles and fixtures for people who write PV drivers; pvdrivers' own tests use them too."""
