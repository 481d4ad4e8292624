"""A model of the ring's handshake and an exhaustive explorer of its interleavings."""
