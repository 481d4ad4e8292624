"""`pvbench`: what a ring, a grant, a copy and a notification cost."""
