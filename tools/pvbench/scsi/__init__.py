"""A disk of a virtual SCSI host as pvbench measures it."""
