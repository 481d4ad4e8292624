"""A disk on a block store (SBC-3), a class for each subject."""
