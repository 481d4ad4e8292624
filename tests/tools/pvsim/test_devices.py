"""Guests with disks and networks, on the real frontends and backends."""

import json

import pytest

from pvdrivers.sim.cost_model import CostModel
from pvdrivers.tools.pvsim.result import GuestResult, Result, percentile, to_json
from tests.tools.pvsim.scenarios import guest, result_of

US, S = 1_000, 1_000_000_000
FREE = "".join(f"cost.{name} = 0\n" for name in CostModel.__struct_fields__)


def only(result: Result, name: str) -> GuestResult:
    (found,) = (each for each in result.guests if each.name == name)
    return found


def took(guest: GuestResult, percent: float) -> int:
    """ns that so many percent of its requests took at most."""
    found = percentile(guest.latencies, percent)
    assert found is not None
    return found


TWO = 'machine.cpus = 2\nrun.time = "1s"\n'
WEB = guest("web", 'kind = "server", work = "100us"')


# ---- Disks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rw", ["read", "write", "randread", "randwrite", "randrw"])
def test_a_disk_has_the_rate_that_was_asked_for(rw: str) -> None:
    disk = guest("db", f'kind = "disk", rw = "{rw}", bs = "8k", rate_iops = 100, iodepth = 2')
    db = only(result_of(TWO + disk), "db")
    assert len(db.latencies) == pytest.approx(100, abs=2)
    assert db.bytes == 8192 * len(db.latencies)


def test_the_latency_is_that_of_the_store_and_what_the_domains_do() -> None:
    disk = guest("db", 'kind = "disk", rate_iops = 100, latency = "300us", work = "200us"')
    free = only(result_of(FREE + TWO + disk), "db")
    assert took(free, 50) == pytest.approx(500 * US, abs=2 * US)
    real = only(result_of(TWO + disk), "db")
    assert took(real, 50) == pytest.approx(515 * US, abs=12 * US)


def test_what_the_guest_computes_for_a_request_is_its_cpu_time() -> None:
    disk = guest("db", 'kind = "disk", rate_iops = 100, work = "2ms", iodepth = 4')
    db = only(result_of(TWO + disk), "db")
    assert db.shares.cpus == pytest.approx(0.2, abs=0.01)


def test_without_a_rate_it_waits_for_nothing_but_the_disk() -> None:
    disk = guest("db", 'kind = "disk", latency = "10ms", iodepth = 3')
    assert len(only(result_of(TWO + disk), "db").latencies) == pytest.approx(300, abs=6)


def test_thinking_comes_after_each_request() -> None:
    disk = guest("db", 'kind = "disk", latency = "5ms", thinktime = "5ms"')
    assert len(only(result_of(TWO + disk), "db").latencies) == pytest.approx(100, abs=3)


def test_larger_requests_cost_dom0_more() -> None:
    small, large = (
        result_of(TWO + guest("db", f'kind = "disk", rate_iops = 200, bs = "{bs}"'))
        for bs in ("4k", "128k")
    )
    per_byte = (large.dom0.cpus - small.dom0.cpus) * S / (200 * (124 << 10))
    assert 0.05 < per_byte < 0.3  # byte_copied, and the grant copy of each page


def test_neighbours_that_compute_make_a_disk_slower() -> None:
    """It computes as well, so that it has no BOOST."""
    disk = guest("db", 'kind = "disk", rate_iops = 50, work = "10ms", iodepth = 8')
    one = 'machine.cpus = 1\nrun.time = "2s"\n'
    batch = guest("batch", 'kind = "compute"', count=3)
    alone, beside = result_of(one + disk), result_of(one + disk + batch)
    assert took(only(beside, "db"), 50) > 5 * took(only(alone, "db"), 50)
    assert only(beside, "db").shares.steal > 0.3


# ---- Networks --------------------------------------------------------------------------------


def test_requests_are_answered_over_the_network() -> None:
    users = guest("user", 'kind = "client", server = "web", interval = "10ms"', count=2)
    result = result_of(TWO + WEB + users)
    for name in ("user-1", "user-2"):
        user = only(result, name)
        assert 60 < len(user.latencies) < 140
        assert user.bytes == (128 + 1024) * len(user.latencies)
        assert min(user.latencies) > 100 * US  # what the server computes
        assert took(user, 50) < 200 * US
    answered = sum(len(only(result, name).latencies) for name in ("user-1", "user-2"))
    assert only(result, "web").shares.cpus == pytest.approx(answered * 1e-4, rel=0.2)


def test_clients_are_shared_out_among_servers() -> None:
    servers = guest("web", 'kind = "server", work = "1ms"', count=2)
    users = guest(
        "user", 'kind = "client", server = "web", interval = "10ms", arrival = "fixed"', count=4
    )
    result = result_of("machine.cpus = 4\n" + 'run.time = "1s"\n' + servers + users)
    shares = [only(result, name).shares.cpus for name in ("web-1", "web-2")]
    assert shares == pytest.approx([0.2, 0.2], abs=0.02)


def test_a_server_that_gets_little_cpu_time_answers_late() -> None:
    users = guest("user", 'kind = "client", server = "web", interval = "20ms"')
    web = guest("web", 'kind = "server", work = "4ms"')
    capped = guest("web", 'kind = "server", work = "4ms"', cap=10)
    free, late = (only(result_of(TWO + each + users), "user") for each in (web, capped))
    assert took(late, 90) > 5 * took(free, 90)


# ---- All of it -------------------------------------------------------------------------------


def mixed(seed: int) -> str:
    text = (
        f'run = {{time = "500ms", seed = {seed}}}\nmachine.cpus = 2\n'
        + guest("batch", 'kind = "compute"')
        + guest("db", 'kind = "disk", rate_iops = 200, rate_process = "poisson"', count=2)
        + WEB
        + guest("user", 'kind = "client", server = "web", interval = "5ms"')
    )
    return json.dumps(to_json(result_of(text)))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    assert mixed(1) == mixed(1) != mixed(2)


def test_dom0_has_a_share_too() -> None:
    text = 'run.time = "1s"\ndom0 = {cap = 5, vcpus = 1}\n[cost]\ncallback = 100000\n' + guest(
        "db", 'kind = "disk", iodepth = 4'
    )
    result = result_of(text)
    assert 0 < result.dom0.cpus < 0.08
