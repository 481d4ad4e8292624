"""The programs for guests that come with the package, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from pvdrivers.guest.kernel import Program
from pvdrivers.guest.programs import check, idle

PROGRAMS: Mapping[str, Program] = MappingProxyType({"check": check.main, "idle": idle.main})
