"""`pvbench compare`: our workloads beside what a user could take instead, in one run.

A row of the comparison is a module in `rows/`, and nothing else needs to know of it. What can be
measured is made by `ours.py` (pvbench's own jobs) and in `peers/` (fio, nbdkit, QEMU, bare memory).
"""
