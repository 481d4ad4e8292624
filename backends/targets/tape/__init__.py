"""A tape drive (SSC-4) on files in SIMH format, a class for each subject."""
