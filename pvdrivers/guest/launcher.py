"""The process that guests are forked from: it has imported what a guest needs, and nothing else.

    python -m pvdrivers.guest.launcher FD

It is asked over the socket FD by launching.py, a JSON object in a packet:

    {"machine": SOCKET, "domid": 3, "generation": 7, "log": FILE}

and tells, with the same domid and generation, `"pid": N` once the guest has been forked, and
`"status": N` once it has ended, negative for a signal. When the socket is closed it kills its
guests and ends. When it is killed itself, its guests see the end of a pipe, and end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn

from pvdrivers.guest.boot import boot
from pvdrivers.ring.errors import UsageError

PACKET = 8192  # bytes, at most


@dataclass(frozen=True, slots=True)
class Launch:
    """What a guest is started with."""

    machine: str
    domid: int
    generation: int
    log: str

    @property
    def name(self) -> dict[str, int]:
        return {"domid": self.domid, "generation": self.generation}


class Launcher:
    """One thread, no event loop and no view of any machine: all that a fork copies."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._guests: dict[int, Launch] = {}  # by process id
        self._alive, self._kept_open = os.pipe()
        self._children, self._signalled = os.pipe()
        os.set_blocking(self._children, False)
        os.set_blocking(self._signalled, False)

    def serve(self) -> None:
        """Until the socket is closed at its other end."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._signalled)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the host's affair
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ, self._answer)
            selector.register(self._children, selectors.EVENT_READ, self._bury)
            while all(key.data() for key, _ in selector.select()):
                pass
        for pid in self._guests:
            os.kill(pid, signal.SIGKILL)
        for pid in self._guests:
            os.waitpid(pid, 0)

    def _answer(self) -> bool:
        packet = self._control.recv(PACKET)
        if not packet:
            return False
        launch = Launch(**json.loads(packet))
        pid = os.fork()
        if pid == 0:
            self._become(launch)
        self._guests[pid] = launch
        return self._tell(launch, pid=pid)

    def _bury(self) -> bool:
        os.read(self._children, PACKET)
        told = True
        while self._guests:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            launch = self._guests.pop(pid)
            told &= self._tell(launch, status=os.waitstatus_to_exitcode(status))
        return told

    def _tell(self, launch: Launch, **what: Any) -> bool:
        try:
            self._control.send(json.dumps({**launch.name, **what}).encode())
        except OSError:  # its other end is gone
            return False
        return True

    # ---- In the guest's process --------------------------------------------------------------

    def _become(self, launch: Launch) -> NoReturn:
        status = 1
        try:
            self._forget()
            _write_to(launch.log)
            threading.Thread(target=self._end_with_launcher, daemon=True).start()
            asyncio.run(boot(launch.machine, launch.domid))
            status = 0
        except UsageError as error:
            print(error, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _forget(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        self._control.close()
        for fd in (self._kept_open, self._children, self._signalled):
            os.close(fd)

    def _end_with_launcher(self) -> None:
        os.read(self._alive, 1)
        os._exit(1)


def _write_to(path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(nothing)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")


def main() -> None:
    """The process."""
    with socket.socket(fileno=int(sys.argv[1])) as control:
        Launcher(control).serve()


if __name__ == "__main__":
    main()
