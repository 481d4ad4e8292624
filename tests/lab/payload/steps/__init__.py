"""The steps, by subject."""

# In the order in which they run.
SUBJECTS = (
    *("basics", "features", "plugging", "service", "systemd", "toolstack"),
    *("kernel_backend", "crash", "figures"),
)
