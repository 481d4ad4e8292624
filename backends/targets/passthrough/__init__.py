"""Logical units whose commands go to a LUN of a SAN, or of a host's /dev/sg."""
