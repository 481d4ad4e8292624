"""How long a simulated host with devices takes for a second of its time, on one core."""

import time

from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Measured, Setting
from pvdrivers.tools.pvsim.scenario import parse
from pvdrivers.tools.pvsim.simulation import simulation

PACE = 5  # virtual seconds for each second that a run may take
SCENARIO = """\
machine.cpus = 16
dom0 = {{vcpus = 2, weight = 1024}}
run.time = "{milliseconds}ms"

[[guest]]
name = "batch"
count = 20
workload = {{kind = "compute"}}

[[guest]]
name = "web"
count = 40
workload = {{kind = "open", interval = "20ms", work = "2ms"}}

[[guest]]
name = "db"
count = 30

[guest.workload]
kind = "disk"
rw = "randrw"
rate_iops = 10
rate_process = "poisson"
work = "5ms"
latency = "200us"

[[guest]]
name = "shop"
count = 2
workload = {{kind = "server", work = "1ms"}}

[[guest]]
name = "buyer"
count = 8
workload = {{kind = "client", server = "shop", interval = "100ms"}}
"""


def measure(setting: Setting) -> Measured:
    text = SCENARIO.format(milliseconds=round(1000 * PACE * setting.seconds))
    scenario = parse(text.encode(), "the row's scenario")
    looks: list[tuple[float, float]] = []  # part of the time, processor time
    with simulation(scenario) as run:
        run.run(lambda part: looks.append((part, time.process_time())))
    (first, start), (last, end) = looks[0], looks[-1]  # all guests are connected
    return Measured((end - start) / ((last - first) * scenario.ns / 1e9))


comparison = Comparison(
    workload="100 guests on 16 CPUs: 20 compute, 40 answer 50 requests/s, 30 have disks with"
    " 10 requests/s, 10 are clients and servers; once all are connected",
    unit="s",
    ours=Contender("pvdrivers", measure),
    target=1,
    sense="<=",
)
