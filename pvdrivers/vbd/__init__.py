"""What both ends of a block device share: features, xenstore keys, device numbers."""
