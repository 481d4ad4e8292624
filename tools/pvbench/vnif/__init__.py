"""The network device as pvbench measures it."""
