"""The VNIF's share of the test kit: its loopback, both ends by hand, and guest profiles."""
