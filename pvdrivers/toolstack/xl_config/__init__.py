"""xl's configuration files: what a domain is to be (xl.cfg(5), libxlu and libxl of Xen)."""
