"""Crowds as sides of a comparison."""

from pvdrivers.tools.pvbench.compare.model import Need, Setting
from pvdrivers.tools.pvbench.compare.processors import processors
from pvdrivers.tools.pvbench.crowd.crowd import Crowd
from pvdrivers.tools.pvbench.crowd.files import most_files
from pvdrivers.tools.pvbench.crowd.plan import Plan

BATCH = 100  # guests that connect at once


def grow(crowd: Crowd, guests: int, setting: Setting) -> float:
    """Connects guests, a batch at a time, until there are so many. Seconds it took."""
    seconds = 0.0
    while crowd.guests < guests:
        setting.say(f"{crowd.guests} of {guests} guests are connected")
        seconds += crowd.grow(min(crowd.guests + BATCH, guests))
    return seconds


def split_cpus() -> Plan:
    """All guests on the first processor, the backend on the second."""
    front, back = processors()
    return Plan(front_cpus=(front,), back_cpus=(back,))


def needs_open_files(files: int) -> Need:
    """One process of several has so many files open."""

    def missing(_: Setting) -> str | None:
        most = most_files()
        return None if most >= files else f"{files} open files are needed, {most} are allowed"

    return Need(None, missing)
