"""Many guests before one backend, on one machine: all frontends in one process, a service with all
their devices in another. Guests are added, and some of them do I/O, or send packets."""
