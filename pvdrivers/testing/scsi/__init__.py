"""PV-SCSI's share of the test kit: its loopback, its pair, and an emulated backend."""
