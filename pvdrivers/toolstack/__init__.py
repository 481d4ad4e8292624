"""What builds domains and plugs devices.

domain_builder   start_info and the xenstore ring of a new domain of a simulated machine
xenstore_rings   that ring's two ends: a guest's connection, and what serves every guest
devices          a device's directories in any xenstore: add, unplug, destroy
xl_config        xl's configuration files
"""
