"""HOST:PORT, as command lines and configurations have it."""

from pvdrivers.ring.errors import UsageError


def parse_address(option: str, text: str) -> tuple[str, int]:
    """An IPv6 address may stand in brackets. UsageError, which names the option: it is none."""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
        raise UsageError(f"{option} {text}: write HOST:PORT, as in 127.0.0.1:8000")
    return host.strip("[]"), int(port)


def format_address(host: str, port: int) -> str:
    """With an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
