"""Xenbus: how the two ends of a device find each other, agree, connect and disconnect."""
