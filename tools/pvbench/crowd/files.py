"""Open files: each guest and each of its devices has some in every process."""

import resource


def most_files() -> int:
    """How many this process may have open, once it has asked for it."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def raise_file_limit() -> None:
    """Lets this process open as many as that."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files(), most_files()))
