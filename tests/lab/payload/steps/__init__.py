"""The steps, by subject."""

SUBJECTS = ("basics", "features", "plugging", "service", "crash")  # in the order in which they run
