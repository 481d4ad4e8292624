"""What the two halves of a PV-SCSI host share."""
