"""IA-64 in the simulated machine.

virtual_map   where Xen/ia64 keeps its tables in its own address space, in both maps that there were
"""
