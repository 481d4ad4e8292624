"""pvstored: a xenstore server on a Unix socket and on the guests' pages of a simulated machine."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

import pvdrivers
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.tools import command_line
from pvdrivers.tools.command_line import add_documentation, suggestion
from pvdrivers.tools.stop_event import stop_event
from pvdrivers.toolstack.xenstore_rings import GuestRings
from pvdrivers.xenstore import QUOTAS, Quotas, XenStore
from pvdrivers.xenstore.server import SocketServer
from pvdrivers.xenstore.tree import tune_gc_for_large_tree

app = App(
    name="pvstored",
    help="Serves a xenstore until SIGTERM or SIGINT.",
    version=pvdrivers.__version__,
)


def _not_empty(_: object, path: str) -> None:
    if not path:
        raise ValueError("the path is empty")


def parse_quotas(settings: list[str]) -> Quotas:
    """From name=value settings."""
    quotas = Quotas()
    for setting in settings:
        name, equals, value = setting.partition("=")
        if name not in QUOTAS:
            raise UsageError(f"there is no quota {name!r}: {suggestion(name, QUOTAS)}")
        if not (equals and value.isascii() and value.isdigit()):
            raise UsageError(f"quota {name} wants a number, as in {name}={QUOTAS[name].default}")
        quotas.set(name, int(value))
    return quotas


async def serve(socket: str, quotas: Quotas, machine: str | None, domid: int) -> None:
    store = XenStore(quotas=quotas, clock=time.monotonic)
    tune_gc_for_large_tree()
    stop = stop_event()
    async with AsyncExitStack() as stack:
        if machine is not None:
            _serve_guests(store, machine, domid, stack)
        try:
            await stack.enter_async_context(SocketServer(store, socket))
        except OSError as error:
            raise UsageError(f"cannot listen on {socket}: {error.strerror or error}") from error
        print(f"pvstored: listening on {socket}", flush=True)
        await stop.wait()


def _serve_guests(store: XenStore, machine: str, domid: int, stack: AsyncExitStack) -> None:
    """Serves the shared page of every domain that is introduced, as domain `domid`."""
    try:
        attached = stack.enter_context(Machine.attach(machine))
        rings = GuestRings(store, attached, domid)
    except OSError as error:
        raise UsageError(f"cannot join {machine} as domain {domid}: {error.strerror}") from error
    stack.callback(rings.close)


@app.default
def pvstored(
    *,
    socket: Annotated[str, Parameter(validator=_not_empty)],
    quota: Annotated[list[str] | None, Parameter(negative_iterable=())] = None,
    machine: str | None = None,
    domid: Annotated[int, Parameter(validator=Number(gte=0, lt=0x7FF0))] = 0,
    uvloop: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """
    Parameters
    ----------
    socket
        Path of the socket. A process that may connect to it acts as domain 0; clients of
        libxenstore find it by XENSTORED_PATH.
    quota
        name=value, for example nodes=2000; may be given several times; 0 means no limit.
    machine
        Socket of a simulated machine (Machine.serve): the shared page of every guest that is
        introduced is served too.
    domid
        The domain of that machine that pvstored runs in; it must be privileged.
    uvloop
        Run on uvloop, which must be installed.
    """
    run = _uvloop_run() if uvloop else asyncio.run
    run(serve(socket, parse_quotas(quota or []), machine, domid))


def _uvloop_run() -> Callable[[Coroutine[Any, Any, None]], None]:
    try:
        import uvloop
    except ImportError:
        raise UsageError("--uvloop needs the Python package uvloop") from None
    return uvloop.run


add_documentation(app)


def main() -> None:
    """The command."""
    command_line.run(app)


if __name__ == "__main__":
    main()
