"""A medium changer (SMC-3) over a folder of tapes, a class for each subject."""
