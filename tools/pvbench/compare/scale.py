"""Many guests as contenders."""

from typing import Literal

from pvdrivers.tools.pvbench.compare.model import Need, Setting
from pvdrivers.tools.pvbench.compare.processors import processors
from pvdrivers.tools.pvbench.scale.files import most_files
from pvdrivers.tools.pvbench.scale.guests import ManyGuests
from pvdrivers.tools.pvbench.scale.spec import ScaleSpec

BATCH = 100  # guests that connect at once


def add_guests(many: ManyGuests, total: int, setting: Setting) -> float:
    """Connects guests, a batch at a time, until there are `total`. Returns the seconds taken."""
    seconds = 0.0
    while many.guests < total:
        setting.say(f"{many.guests} of {total} guests are connected")
        seconds += many.add_guests(min(many.guests + BATCH, total))
    return seconds


def split_cpus(device: Literal["vbd", "vif"] = "vbd") -> ScaleSpec:
    """All guests on the first processor, the backend on the second."""
    front, back = processors()
    return ScaleSpec(device=device, front_cpus=(front,), back_cpus=(back,))


def needs_open_files(files: int) -> Need:
    """One of the processes has this many files open."""

    def missing(_: Setting) -> str | None:
        most = most_files()
        return None if most >= files else f"{files} open files are needed, {most} are allowed"

    return Need(None, missing)
