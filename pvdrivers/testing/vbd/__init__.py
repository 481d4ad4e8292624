"""The VBD's share of the test kit: its loopback, emulated Linux and QEMU, and QEMU itself."""
