"""A tape drive, as SCSI initiators know it (SSC-4), on a file in SIMH format."""
