"""The VNIF's share of the test kit: its loopback, both ends by hand, guest profiles, and a guest at
an uplink."""
