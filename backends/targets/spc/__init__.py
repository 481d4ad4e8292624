"""Commands and pages that all device types have (SPC-4), a class for each subject."""
