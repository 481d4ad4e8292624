"""SG_IO for unmodified programs, whose commands go through the PV ring of a simulated guest."""
