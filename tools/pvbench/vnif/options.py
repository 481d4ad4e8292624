"""The options of a network device's job, and the job they ask for."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from pvdrivers._core import lib
from pvdrivers.testing.vnif.profiles import PROFILES
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.job import ProfileName
from pvdrivers.tools.pvbench.job.options import DEVICE, JobOptions, Rule, option
from pvdrivers.tools.pvbench.units import parse_size
from pvdrivers.tools.pvbench.vnif.job import Direction, UplinkKind, VnifJob

RUNTIME = "1"  # seconds, when none is asked for
MIN_SIZE = int(lib.PV_PACKET_WORKLOAD_MIN_SIZE)
MAX_SIZE = int(lib.PV_PACKET_MAX_LENGTH)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class VnifOptions(JobOptions):
    """The options of one job of `pvbench vnif`."""

    direction: Annotated[
        Direction | None,
        option(
            "What the guest does: transmit (tx), receive (rx) or both. Without it and without "
            "requests a set of workloads runs."
        ),
    ] = None
    requests: Annotated[
        int,
        option(
            "Requests outstanding on each queue: a frame is sent for each answer that has come, "
            "and its latency measured. 0: frames are sent as fast as they go."
        ),
        Rule(limits=(0, 65536), suite_sets=True),
    ] = 0
    frame_size: Annotated[
        str,
        option("Bytes of a frame with its Ethernet header."),
        Rule(suite_sets=True),
    ] = "64"
    batch: Annotated[
        int,
        option("Frames that a guest puts on a ring, or takes from one, at once."),
        Rule(limits=(1, int(lib.PV_PACKET_WORKLOAD_MAX_BATCH))),
    ] = 32
    rate: Annotated[
        int,
        option("Frames a second on each queue at most; 0: no limit."),
        Rule(limits=(0, 1 << 40), suite_sets=True),
    ] = 0
    uplink: Annotated[
        UplinkKind | None,
        option(
            "What the backend's packets go to and come from: null (what is sent goes nowhere, "
            "what is received the backend makes up), hairpin (everything comes back) or a switch "
            "with a second guest. null for one direction, switch for both and for requests.",
            DEVICE,
        ),
        Rule(suite_sets=True),
    ] = None
    static_grants: Annotated[
        bool,
        option(
            "The backend keeps the guest's pages mapped (on the control ring: ADD_GREF_MAPPING), "
            "and copies without the hypervisor.",
            DEVICE,
        ),
    ] = False
    profile: Annotated[
        ProfileName | None,
        option(
            "Negotiate and publish what a driver of this name does; its ABI is the default. "
            "No hash is set.",
            DEVICE,
        ),
    ] = None

    def job(self) -> VnifJob:
        self.check()
        direction: Direction = self.direction or "both"
        uplink = self.uplink or ("switch" if direction == "both" else "null")
        if self.requests and (direction != "both" or uplink == "null"):
            raise OptionError(
                "--requests needs answers: --direction=both, and --uplink=hairpin or switch"
            )
        if direction == "rx" and uplink == "hairpin":
            raise OptionError("--direction=rx: a hairpin gives back what is sent; write both")
        size = parse_size("--frame_size", self.frame_size)
        if not MIN_SIZE <= size <= MAX_SIZE:
            raise OptionError(f"--frame_size: {size} is not between {MIN_SIZE} and {MAX_SIZE}")
        shared = self.shared()
        if not self.runtime:
            shared["runtime_ns"] = int(RUNTIME) * 1_000_000_000
        if self.profile and "abi" not in self.given:
            shared["abi"] = PROFILES[self.profile].abi
        name = self.name or (f"request {size}" if self.requests else f"{direction} {size}")
        return VnifJob(
            **shared,
            name=name,
            direction=direction,
            uplink=uplink,
            frame_size=size,
            batch=self.batch,
            requests=self.requests,
            rate=self.rate,
            static_grants=self.static_grants,
            profile=self.profile,
        )
