"""An iSCSI target whose logical units are reached through PV rings (RFC 7143)."""
