"""`pvbench compare`: our workloads and what a user could take instead, in one run.

A row of the comparison is a module in `rows/`; nothing else needs to know of it. It compares two
contenders: ours (`ours.py`, pvbench's own jobs) and a baseline, mostly one of `competitors/` (fio,
nbdkit, QEMU, bare memory).
"""
