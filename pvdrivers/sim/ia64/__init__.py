"""IA-64 in the simulated machine: a guest of that ABI finds Xen's pages at 2^40.

efi           EFI memory maps: a machine's, the memory that is taken from it, and those of guests
hypercalls    those that only ia64 guests have, and buffers for them
virtual_map   where Xen/ia64 keeps its tables in its own address space, in both maps that there were
"""
