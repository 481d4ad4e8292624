"""The daemon's life: connects, serves, reloads on SIGHUP, drains on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pvdrivers.backends.service import Service
from pvdrivers.background import in_background
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.native import connect_store, open_hypervisor
from pvdrivers.poll.group import Mode
from pvdrivers.poll.threads import PollThreads
from pvdrivers.process_lock import process_lock
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.tools.pvbackd import logs
from pvdrivers.tools.pvbackd.classes import CLASSES
from pvdrivers.tools.pvbackd.config import Config, ConfigError, read_config
from pvdrivers.tools.pvbackd.control import serve_control
from pvdrivers.tools.pvbackd.notify import notify, reloading, watchdog_interval
from pvdrivers.tools.pvbackd.status import describe
from pvdrivers.xenbus.device import XenbusDevice
from pvdrivers.xenstore.client import XenstoreClient

log = logging.getLogger("pvdrivers.tools.pvbackd")

RETRY = 1.0  # seconds between attempts to reach a xenstore that is gone
RUN_FOLDER = Path("/run/pvbackd")  # the unit's RuntimeDirectory


@dataclass(frozen=True, slots=True)
class Target:
    """Which machine is served: a simulated one, or None for the Xen underneath."""

    machine: Path | None = None
    xenstore: Path | None = None
    domid: int = 0  # on a simulated machine; Xen says which domain this is

    async def connect(self) -> XenstoreClient:
        if self.machine is None and self.xenstore is None:
            try:
                return await connect_store()
            except UsageError as error:
                hint = "a simulated machine is named by --machine and --xenstore"
                raise UsageError(f"{error}; {hint}") from error
        try:
            return await XenstoreClient.connect(self.xenstore)
        except OSError as error:
            where = self.xenstore or "the usual place"
            raise OSError(error.errno, f"no xenstore answers at {where}: {error}") from error

    async def hypervisor(self, client: XenstoreClient) -> Hypervisor:
        if self.machine is None:
            return await open_hypervisor(client)
        return Machine.attach(self.machine).open_hypervisor(self.domid)

    def lock(self) -> AbstractAsyncContextManager[None]:
        """Keeps any other daemon from serving the same domain. Where the lock is follows from what
        is served alone, not from any option, so that all daemons agree on it."""
        if self.machine is None:
            RUN_FOLDER.mkdir(exist_ok=True)
            return process_lock(RUN_FOLDER / "lock", "the backend domain")
        path = self.machine.resolve()
        name = path.with_name(f"{path.name}.domain-{self.domid}.lock")
        return process_lock(name, f"backend domain {self.domid} of {self.machine}")


class Daemon:
    """Serves every device class until it is told to stop. `run` returns the exit status."""

    def __init__(
        self,
        target: Target,
        config_path: Path | None = None,
        command: str = "",
        control: str = "",
        state_directory: str = "",
        log_json: bool | None = None,
        mode: Mode | None = None,
    ) -> None:
        """`control` and what follows it go before the configuration. ConfigError: they
        cannot be used."""
        self.target = target
        self.config_path = config_path
        self.command = command
        self.control = control
        self.state_directory = state_directory
        self.log_json = log_json
        self.mode = mode
        self.config: Config = self._read_config()
        self.services: list[Service[Any, Any]] = []  # those that have begun to serve
        self.limit = logs.set_up(self.config.log)
        state = self.config.state_directory
        self._state_directory = Path(state) if state else None
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._status = 0
        self._first_client: XenstoreClient | None = None

    async def run(self) -> int:
        """OSError, UsageError: there is no machine to serve, or no socket to be had."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_stray)
        async with AsyncExitStack() as stack:
            self._first_client = await self.target.connect()
            hypervisor = await self.target.hypervisor(self._first_client)
            await stack.enter_async_context(self.target.lock())
            await self._open_sockets(stack)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop.set)
            loop.add_signal_handler(signal.SIGHUP, self._reload.set)
            if not self._state_directory:
                log.warning("no state directory: guests will notice a kill under I/O")
            threads = stack.enter_context(self.config.threads.driver())
            await stack.enter_async_context(in_background(self._keep_watchdog(threads)))
            await stack.enter_async_context(in_background(self._reload_when_asked()))
            while not self._stop.is_set():
                await self._serve(hypervisor, threads)
        log.info("stopped")
        return self._status

    def _read_config(self) -> Config:
        config = read_config(self.config_path)
        log_json = config.log.json if self.log_json is None else self.log_json
        control = self.control or config.control or runtime_control()
        beside = f"{control}.state" if control else ""
        return msgspec.structs.replace(
            config,
            control=control,
            state_directory=self.state_directory or config.state_directory or beside,
            threads=msgspec.structs.replace(config.threads, mode=self.mode or config.threads.mode),
            log=msgspec.structs.replace(config.log, json=log_json),
        )

    @property
    def devices(self) -> dict[str, XenbusDevice]:
        return {path: d for each in self.services for path, d in each.devices.items()}

    def status(self) -> str:
        """Of all devices, as JSON."""
        return json.dumps([describe(*item) for item in sorted(self.devices.items())])

    # ---- serving -----------------------------------------------------------------------------

    async def _serve(self, hypervisor: Hypervisor, threads: PollThreads) -> None:
        """Serves until the daemon is to stop or xenstore is gone."""
        try:
            client, self._first_client = self._first_client or await self.target.connect(), None
        except OSError as error:
            log.error("no xenstore: %s", error)
            await self._pause()
            return
        async with client, AsyncExitStack() as entered:
            await self._prepare(self.config)
            for each in CLASSES:
                service = each.make_service(
                    client, hypervisor, lambda: self.config, threads, self._state_directory
                )
                self.services.append(await entered.enter_async_context(service))
            log.info("serving domain %d", hypervisor.domid)
            notify("READY=1")
            async with AsyncExitStack() as stack:
                if self.command:
                    await stack.enter_async_context(in_background(self._run_command()))
                gone = asyncio.ensure_future(self._ended())
                stop = asyncio.ensure_future(self._stop.wait())
                await asyncio.wait([gone, stop], return_when=asyncio.FIRST_COMPLETED)
                stop.cancel()
            if self._stop.is_set():
                notify("STOPPING=1")
                log.info("draining")
            elif gone.done():
                log.error("xenstore is gone: %r", gone.exception())
            gone.cancel()
            await asyncio.gather(*(service.drain() for service in self.services))
        self.services.clear()
        if not self._stop.is_set():
            await self._pause()

    async def _ended(self) -> None:
        """Returns, or raises why, when no service can go on."""
        await asyncio.gather(*(service.ended() for service in self.services))

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(RETRY):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _open_sockets(self, stack: AsyncExitStack) -> None:
        if self.config.control:
            control = serve_control(self.config.control, {"status": self.status})
            await stack.enter_async_context(control)
        if self.config.metrics.listen or self.config.metrics.socket:
            from pvdrivers.tools.pvbackd.metrics import serve_metrics

            suppressed = lambda: self.limit.suppressed  # noqa: E731
            metrics = serve_metrics(self.config.metrics, lambda: self.devices, suppressed)
            await stack.enter_async_context(metrics)

    # ---- in the background -------------------------------------------------------------------

    async def _keep_watchdog(self, threads: PollThreads) -> None:
        interval = watchdog_interval()
        while interval is not None:
            await asyncio.to_thread(threads.check)
            notify("WATCHDOG=1")
            await asyncio.sleep(interval)

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            notify(reloading())
            try:
                await self._read_again()
            except Exception:
                log.exception("reload failed")
            notify("READY=1")

    async def _read_again(self) -> None:
        try:
            new = self._read_config()
        except ConfigError as error:
            log.error("the configuration stays as it is: %s", error)
            return
        await self._prepare(new)
        old, self.config = self.config, new
        if old.log != new.log:
            before = self.limit.suppressed
            self.limit = logs.set_up(new.log)
            self.limit.suppressed = before
        if fixed_settings(old) != fixed_settings(new):
            log.warning("sockets, state and threads stay as they are until the daemon starts again")
        for service in list(self.services):
            await service.reload(service.options_for)
        log.info("configuration read again")

    async def _prepare(self, config: Config) -> None:
        for each in CLASSES:
            await each.prepare(config)

    async def _run_command(self) -> None:
        """Runs the command; the daemon stops when it ends."""
        process = await asyncio.create_subprocess_shell(self.command)
        try:
            status = await process.wait()
            self._status = status if status >= 0 else 128 - status
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
            self._stop.set()


def _log_stray(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs an exception that no task or callback has handled; the daemon goes on."""
    error = context.get("exception")
    log.error("%s", context.get("message", "error"), exc_info=error)


def fixed_settings(config: Config) -> tuple[object, ...]:
    """What a daemon keeps for life."""
    return config.control, config.state_directory, config.metrics, config.threads


def runtime_control() -> str:
    """The control socket a service manager has made a folder for, or none."""
    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return f"{folder}/control" if folder else ""
