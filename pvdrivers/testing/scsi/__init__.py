"""Emulated peers of PV-SCSI devices, and of logical units alone."""
