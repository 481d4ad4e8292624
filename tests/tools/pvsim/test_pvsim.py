"""A server in virtual time: its results against arithmetic and queueing theory."""

import json
from pathlib import Path

import pytest

from pvdrivers.tools.pvsim.result import percentile, to_json
from pvdrivers.tools.pvsim.scenario import parse
from pvdrivers.tools.pvsim.simulation import simulation
from tests.tools.pvsim.scenarios import guest, result_of, run_pvsim


def test_weights_are_shares() -> None:
    result = result_of(
        guest("small", 'kind = "compute"', weight=256)
        + guest("large", 'kind = "compute"', weight=768)
    )
    assert [each.shares.cpus for each in result.guests] == pytest.approx([0.25, 0.75], abs=0.01)
    assert [each.shares.steal for each in result.guests] == pytest.approx([0.75, 0.25], abs=0.01)
    assert result.idle == 0


def test_credit2_shares_by_weight_too_and_lets_who_sleeps_go_first() -> None:
    result = result_of(
        'scheduler.kind = "credit2"\n'
        + guest("small", 'kind = "compute"', weight=256)
        + guest("large", 'kind = "compute"', weight=768)
        + guest("web", 'kind = "open", interval = "10ms", work = "10us"')
    )
    assert [each.shares.cpus for each in result.guests[:2]] == pytest.approx([0.25, 0.75], abs=0.01)
    latencies = result.guests[2].latencies
    assert latencies[0] == 10_000
    assert percentile(latencies, 50) < 1_000_000
    assert max(latencies) < 11_000_000  # it has met the rate limit, and waits for a slice's end


def test_the_machine_and_its_runqueues_are_laid_out_as_the_scenario_says() -> None:
    text = """
        machine = {cpus = 8, threads_per_core = 2, cores_per_socket = 2, nodes = 2}
        scheduler = {kind = "credit2", credit2_runqueue = "core"}
    """
    with simulation(parse((text + guest("batch", 'kind = "compute"')).encode(), "test")) as run:
        run.machine.debug_keys("r")
        assert "CPU[05] idle runq=2 sibling={4-5} core={4-7} node=1" in run.machine.console


@pytest.mark.parametrize(("save", "cores"), [("true", 1), ("false", 2)])
def test_to_save_power_guests_share_a_core(save: str, cores: int) -> None:
    text = f"""
        machine = {{cpus = 4, threads_per_core = 2}}
        scheduler = {{smt_power_savings = {save}}}
    """
    batch = guest("batch", 'kind = "compute"', count=2)
    with simulation(parse((text + batch).encode(), "test")) as run:
        run.run(lambda part: None)
        scheduler = run.machine.scheduler
        cpus = [scheduler.run_state(each.domain.domid, 0).cpu for each in run.guests]
    assert len({cpu // 2 for cpu in cpus}) == cores


def test_each_vcpu_has_the_workload() -> None:
    result = result_of("machine.cpus = 4\n" + guest("db", 'kind = "compute"', vcpus=3))
    assert result.guests[0].shares.cpus == pytest.approx(3)
    assert result.idle == pytest.approx(0.25)


def test_alone_a_request_takes_its_work() -> None:
    result = result_of(
        guest("web", 'kind = "open", interval = "2ms", work = "100us", arrival = "fixed"')
    )
    assert set(result.guests[0].latencies) == {100_000}
    assert len(result.guests[0].latencies) == 4999  # the last one comes when the time is over


def test_a_closed_loop_asks_again_after_a_while() -> None:
    result = result_of(guest("db", 'kind = "closed", work = "300us", think = "700us"'))
    assert set(result.guests[0].latencies) == {300_000}
    assert len(result.guests[0].latencies) == 10_000
    assert result.guests[0].shares.cpus == pytest.approx(0.3)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_random_arrivals_wait_as_queueing_theory_has_it(load: float) -> None:
    """M/D/1: the mean wait is load / (2 (1 - load)) of the work (Pollaczek and Khinchine)."""
    work = 100_000
    result = result_of(
        'run.time = "20s"\n'
        + guest("web", f'kind = "open", work = "100us", interval = "{round(work / load)}ns"')
    )
    latencies = result.guests[0].latencies
    mean = sum(latencies) / len(latencies)
    assert mean == pytest.approx(work * (1 + load / (2 * (1 - load))), rel=0.05)


def test_boost_keeps_latency_short_beside_guests_that_compute() -> None:
    web = guest("web", 'kind = "closed", work = "100us", think = "5ms"')
    batch = guest("batch", 'kind = "compute"', count=4)
    (latency,) = (
        percentile(each.latencies, 99)
        for each in result_of(web + batch).guests
        if each.name == "web"
    )
    assert latency is not None
    assert latency <= 1_100_000  # its work, and the rate limit of the one that runs


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    web = guest("web", 'kind = "open", interval = "1ms", work = "300us"', count=3)
    first, again, other = (
        json.dumps(to_json(result_of(f"run.seed = {seed}\n" + web))) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_guest_more_does_not_change_the_requests_of_the_others() -> None:
    web = guest("web", 'kind = "open", interval = "1ms", work = "100us"')
    alone = result_of("machine.cpus = 2\n" + web)
    beside = result_of("machine.cpus = 2\n" + web + guest("batch", 'kind = "compute"'))
    assert len(alone.guests[0].latencies) == len(beside.guests[0].latencies)


# ---- The command -----------------------------------------------------------------------------


def test_a_table_has_a_row_for_each_kind_of_guest(tmp_path: Path) -> None:
    text = guest("batch", 'kind = "compute"', count=3) + guest(
        "web", 'kind = "closed", work = "1ms", think = "9ms"'
    )
    done = run_pvsim(tmp_path, text)
    assert (done.returncode, done.stderr) == (0, "")
    title, *_ = done.stdout.splitlines()
    assert title.split() == "1 CPUs, 10 s, 0.0% idle".split()
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    assert rows["batch"][1:5] == ["3", "1", "256", "-"]
    assert rows["web"][1:5] == ["1", "1", "256", "-"]


def test_json_has_every_guest(tmp_path: Path) -> None:
    done = run_pvsim(tmp_path, guest("batch", 'kind = "compute"', count=2), "--output-format=json")
    report = json.loads(done.stdout)
    assert [each["name"] for each in report["guests"]] == ["batch-1", "batch-2"]
    assert [each["cpu"] for each in report["guests"]] == pytest.approx([0.5, 0.5], abs=0.01)
    assert report["guests"][0]["latency"] == {"p50": None, "p90": None, "p99": None, "p99.9": None}


def test_a_mistake_is_one_sentence(tmp_path: Path) -> None:
    done = run_pvsim(tmp_path, guest("batch", 'kind = "compile"'))
    assert done.returncode == 2
    assert done.stderr.startswith("pvsim: ")
    assert done.stderr.count("\n") == 1
