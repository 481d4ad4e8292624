"""What the bridges tell on stderr."""

import logging


def log_to_stderr() -> None:
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    logging.getLogger("pvdrivers.backends").setLevel(logging.WARNING)
