"""The steps, by subject."""

# In the order in which they run.
SUBJECTS = (
    *("basics", "features", "plugging", "service", "systemd", "toolstack"),
    *("disks", "kills", "network_kernel", "vifs", "kernel_backend", "kernel_netback"),
    *("crash", "figures", "network_figures"),
)
