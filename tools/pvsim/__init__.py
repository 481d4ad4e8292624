"""A server with its guests in virtual time."""
