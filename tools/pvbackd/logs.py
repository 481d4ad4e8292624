"""Logs: one line of keys and values, or of JSON, per event on stderr, and never a flood of them."""

import copy
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import structlog

from pvdrivers.tools.pvbackd.config import Log

SUBJECTS_MAX = 4096  # kinds of lines that are told apart at once


class RateLimit(logging.Filter):
    """Lets `burst` lines about one thing pass in `interval` seconds, and counts the others.

    One thing is a message without its arguments, and the first argument, which is the device's
    path: a guest that chooses other texts gets no more lines for its device. The next line that
    passes says how many were `suppressed`.
    """

    def __init__(
        self, burst: int, interval: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.burst = burst
        self.interval = interval
        self.suppressed = 0
        self._clock = clock
        # By subject: when its interval began, lines that passed, lines that did not.
        self._subjects: OrderedDict[tuple[object, ...], tuple[float, int, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        first = record.args[0] if isinstance(record.args, tuple) and record.args else None
        subject = (record.name, record.levelno, str(record.msg), str(first))
        now = self._clock()
        began, passed, held_back = self._subjects.pop(subject, (now, 0, 0))
        if now - began >= self.interval:
            began, passed = now, 0
        if passes := passed < self.burst:
            if held_back:
                record.suppressed = held_back
            self._subjects[subject] = began, passed + 1, 0
        else:
            self.suppressed += 1
            self._subjects[subject] = began, passed, held_back + 1
        if len(self._subjects) > SUBJECTS_MAX:
            self._subjects.popitem(last=False)
        return passes


class Formatter(structlog.stdlib.ProcessorFormatter):
    """Makes a key of the device that a line is about."""

    def format(self, record: logging.LogRecord) -> str:
        args = record.args
        message = str(record.msg)
        if isinstance(args, tuple) and args and message.startswith("%s: "):
            record = copy.copy(record)
            record.device, record.msg, record.args = args[0], message[4:], args[1:]
        return super().format(record)


def formatter(json: bool) -> logging.Formatter:
    # repr() in KeyValueRenderer keeps what guests write from being anything but text.
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])
    )
    return Formatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso"),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )


def set_up(log: Log) -> RateLimit:
    """Sends all of this process's logs to stderr as `log` has it."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(log.json))
    limit = RateLimit(log.burst, log.interval)
    handler.addFilter(limit)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("pvdrivers").setLevel(log.level.upper())
    return limit
