"""A guest and a host whose network stacks are the kernel's, each in a network namespace of its own,
with a PV device between them: `pvbench vnif --real`."""
