"""Many guests before one backend: as many domains on one machine, their frontends in one process,
a service with all their disks in another. Guests are added, and some of them made to do I/O."""
