"""pvbackd: the daemon that serves guests' virtual disks from a backend domain."""
