"""A network backend's queues: the data plane's in C, as `pvdrivers.backends.device` has them."""

import errno
import os
from collections.abc import Mapping
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.inflight import LogMemory
from pvdrivers.backends.vnif.netback import Netback
from pvdrivers.ring.errors import PeerError
from pvdrivers.vnif.keys import ControlRing, QueueRings

PREFIX = "PV_NETBACK_"
ERRORS = tuple(  # why a packet was not passed on, in the order of `pv_netback_stats.errors`
    name.removeprefix(PREFIX).lower()
    for _, name in sorted(ffi.typeof("enum pv_netback_error").elements.items())
    if name != f"{PREFIX}ERROR_COUNT"
)
FATAL = range(lib.PV_NETBACK_RING_OVERRUN, lib.PV_NETBACK_ERROR_COUNT)  # those that break a queue
NO_ROOM = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class VnifQueue:
    """Holds a `struct pv_netback_queue *`: a tx and an rx ring."""

    def __init__(
        self, netback: Netback, rings: QueueRings, log: LogMemory, fields: Mapping[str, Any]
    ) -> None:
        """`fields`: more of `struct pv_netback_queue_config`. PeerError: the frontend's rings or
        ports cannot be used. OSError: there is no room for a queue."""
        config = _queue_config(rings, log, fields)
        self.pointer = lib.pv_netback_queue_create(netback.pointer, config)
        if self.pointer == ffi.NULL:
            _raise(ffi.errno, f"{rings}")

    @staticmethod
    def log_size(netback: Netback, rings: QueueRings) -> int:
        return int(lib.pv_netback_log_size(netback.abi, rings.index))

    @staticmethod
    def is_resumable(netback: Netback, rings: QueueRings, log: LogMemory) -> bool:
        """Whether such a queue would go on where an earlier one stopped."""
        config = _queue_config(rings, log, {})
        return bool(lib.pv_netback_queue_resumable(netback.pointer, config) == 0)

    @property
    def pollable(self) -> Any:
        return lib.pv_netback_queue_pollable(self.pointer)

    @property
    def port(self) -> int:
        return int(lib.pv_netback_queue_port(self.pointer))

    @property
    def second_port(self) -> int:
        rx = int(lib.pv_netback_queue_rx_port(self.pointer))
        return 0 if rx == self.port else rx

    @property
    def broken(self) -> PeerError | None:
        if not lib.pv_netback_queue_broken(self.pointer):
            return None
        errors = self.errors()
        error = next(error for error in FATAL if errors[ERRORS[error]])
        return PeerError(ffi.string(lib.pv_netback_error_text(error)).decode())

    def statistics(self) -> dict[str, int]:
        """Counters; `errors` adds up all of ERRORS."""
        return _counters("struct pv_netback_stats", lib.pv_netback_queue_get_stats, self.pointer)

    def errors(self) -> dict[str, int]:
        """How often each of ERRORS has happened."""
        stats = ffi.new("struct pv_netback_stats *")
        lib.pv_netback_queue_get_stats(self.pointer, stats)
        return dict(zip(ERRORS, map(int, stats.errors), strict=True))

    def stop(self) -> None:
        lib.pv_netback_queue_stop(self.pointer)

    def quiesce(self, now: int) -> bool:
        return True  # a pump answers all that it takes

    def close(self) -> None:
        lib.pv_netback_queue_destroy(self.pointer)

    def __repr__(self) -> str:
        line = ffi.new("char[]", 256)
        lib.pv_netback_queue_describe(self.pointer, line, len(line))
        return f"<VnifQueue {ffi.string(line).decode()}>"


class ControlQueue:
    """Holds a `struct pv_netback_control *`: the control ring."""

    second_port = 0

    def __init__(
        self, netback: Netback, ring: ControlRing, log: LogMemory, fields: Mapping[str, Any]
    ) -> None:
        """As VnifQueue."""
        config = _control_config(ring, log, fields)
        self.pointer = lib.pv_netback_control_create(netback.pointer, config)
        if self.pointer == ffi.NULL:
            _raise(ffi.errno, f"{ring}")

    @staticmethod
    def log_size(netback: Netback) -> int:
        return int(lib.pv_netback_control_log_size(netback.abi))

    @staticmethod
    def is_resumable(netback: Netback, ring: ControlRing, log: LogMemory) -> bool:
        config = _control_config(ring, log, {})
        return bool(lib.pv_netback_control_resumable(netback.pointer, config) == 0)

    @property
    def pollable(self) -> Any:
        return lib.pv_netback_control_pollable(self.pointer)

    @property
    def port(self) -> int:
        return int(lib.pv_netback_control_port(self.pointer))

    @property
    def broken(self) -> bool:
        return bool(lib.pv_netback_control_broken(self.pointer))

    def statistics(self) -> dict[str, int]:
        """Counters, named apart from those of packets."""
        get = lib.pv_netback_control_get_stats
        found = _counters("struct pv_netback_control_stats", get, self.pointer)
        return {f"control_{name}": count for name, count in found.items()}

    def stop(self) -> None:
        lib.pv_netback_control_stop(self.pointer)

    def quiesce(self, now: int) -> bool:
        return True

    def close(self) -> None:
        lib.pv_netback_control_destroy(self.pointer)


def _queue_config(rings: QueueRings, log: LogMemory, fields: Mapping[str, Any]) -> Any:
    config = {
        "index": rings.index,
        "tx_ring_ref": rings.tx_ring_ref,
        "rx_ring_ref": rings.rx_ring_ref,
        "tx_port": rings.tx_port,
        "rx_port": rings.rx_port,
        "log": log.address,
        "log_size": log.size,
        **fields,
    }
    return ffi.new("struct pv_netback_queue_config *", config)


def _control_config(ring: ControlRing, log: LogMemory, fields: Mapping[str, Any]) -> Any:
    config = {
        "ring_ref": ring.ring_ref,
        "port": ring.port,
        "log": log.address,
        "log_size": log.size,
        **fields,
    }
    return ffi.new("struct pv_netback_control_config *", config)


def _raise(number: int, what: str) -> None:
    reason = os.strerror(number)
    if number in NO_ROOM:
        raise OSError(number, f"no ring: {reason}")
    raise PeerError(f"cannot use {what}: {reason}")


def _counters(struct: str, get: Any, pointer: Any) -> dict[str, int]:
    stats = ffi.new(f"{struct} *")
    get(pointer, stats)
    counters = {}
    for name, field in ffi.typeof(struct).fields:
        value = getattr(stats, name)
        counters[name] = sum(value) if field.type.kind == "array" else int(value)
    return counters
