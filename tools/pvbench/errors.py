"""What ends a benchmark early, each with the sentence the user reads."""


class OptionError(Exception):
    """The command line or the image cannot be used: exit code 2."""


class BenchError(Exception):
    """The benchmark itself failed: exit code 1."""
