"""The workloads that run when none is asked for."""

from dataclasses import replace
from typing import Any

from pvdrivers.tools.pvbench.vnif.options import VnifOptions

RUNTIME = "1"  # seconds
RAMP = "200ms"

_WORKLOADS: tuple[dict[str, Any], ...] = (
    {"name": "tx 64, no data", "direction": "tx", "uplink": "null"},
    {"name": "rx 64", "direction": "rx", "uplink": "null"},
    {"name": "guest to guest 64", "direction": "tx", "uplink": "switch"},
    {"name": "guest to guest 1514", "direction": "tx", "uplink": "switch", "frame_size": "1514"},
    {"name": "both ways 1514", "direction": "both", "uplink": "switch", "frame_size": "1514"},
    {"name": "request/response 64", "direction": "both", "uplink": "switch", "requests": 1},
)


def suite(common: VnifOptions) -> list[list[Any]]:
    """Jobs, one after the other, with the common options of the command line. OptionError."""
    ramp = common.ramp_time if common.ramp_time != "0" else RAMP
    common = replace(common, runtime=common.runtime or RUNTIME, ramp_time=ramp)
    return [[replace(common, **options).job()] for options in _WORKLOADS]
