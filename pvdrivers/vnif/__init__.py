"""What both ends of a network device share: features, xenstore keys, addresses, packets."""
