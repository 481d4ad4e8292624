"""sd_notify(3): tells the service manager the daemon's state; does nothing without one."""

import os
import socket
import time


def notify(state: str) -> None:
    """Sends `state`, such as READY=1; what the manager does not take is lost."""
    if path := os.environ.get("NOTIFY_SOCKET", ""):
        address = "\0" + path[1:] if path.startswith("@") else path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
            try:
                manager.sendto(state.encode(), address)
            except OSError:
                return


def reloading() -> str:
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_interval() -> float | None:
    """Seconds between WATCHDOG=1, twice as often as the manager wants it; None: it wants none."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(usec) / 2e6 if mine and usec.isdecimal() and int(usec) > 0 else None
