"""The block device as pvbench measures it; another device class has a folder beside this one."""
