"""Open files: each guest and each of its devices has some in every process."""

import resource


def most_files() -> int:
    """The most this process may have open, once it has raised its limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def raise_file_limit() -> None:
    """Raises this process's limit to `most_files`."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files(), most_files()))
