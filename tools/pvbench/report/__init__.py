"""What the reports of all device classes share."""
