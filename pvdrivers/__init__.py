"""Xen paravirtual split drivers in userspace."""
