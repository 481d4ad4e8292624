"""The steps, by subject."""

# Which machine runs the steps of which subjects by itself, in this order. Two at a time take half
# the time on two processors. Those that share something are on one, and what ends the guest is
# last, as is what leaves dom0's kernel unfit for more.
MACHINES = {
    "machine1": (
        *("basics", "features", "plugging", "service", "systemd", "toolstack", "disks"),
        "figures",
    ),
    "machine2": (
        *("kills", "network_kernel", "vifs", "kernel_backend", "kernel_netback", "crash"),
        "network_figures",
    ),
    "machine3": ("scsi", "tapes", "kernel_scsiback"),
    "machine4": ("credit",),
}
# What Xen is told besides on a machine, which therefore boots for itself.
XEN_ARGUMENTS = {"machine4": "sched=credit"}
