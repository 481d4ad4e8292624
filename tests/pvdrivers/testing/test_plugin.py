"""The pytest plugin as its users see it: run in a pytest of their own."""

import textwrap

import pytest

pytest_plugins = ["pytester"]

FIRST_TEST = """
from functools import partial

import pytest

from pvdrivers.backends.stores.store import RamStore

def test_domains(pv_domains, pv_machine):
    assert pv_domains.backend.info.privileged
    assert not pv_domains.frontend.info.privileged
    assert pv_machine.domain(pv_domains.frontend.domid).info.domid == 1

@pytest.mark.parametrize("mode", ["loop", "deterministic"])
def test_disk(pv_vbd, mode):
    async def scenario(frontend):
        await frontend.write(0, b"x" * 512)
        return await frontend.read(0, 1)

    loopback = pv_vbd(partial(RamStore, 1 << 20), mode=mode)
    assert loopback.run(scenario) == b"x" * 512

def test_seed(pv_seed, record_property):
    assert pv_seed == 7

def test_without_seed():
    assert False
"""


@pytest.mark.slow
def test_fixtures_and_seed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FIRST_TEST)
    with_seed = pytester.runpytest_subprocess("--pv-seed=7", "-p", "no:randomly")
    with_seed.assert_outcomes(passed=4, failed=1)
    with_seed.stdout.no_fnmatch_line("*--pv-seed=*to see*")

    other_seed = pytester.runpytest_subprocess("--pv-seed=8")
    other_seed.assert_outcomes(passed=3, failed=2)
    other_seed.stdout.fnmatch_lines(["*to see this run again: --pv-seed=8"])


@pytest.mark.slow
def test_a_seed_is_chosen_and_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_seed(pv_seed):\n    assert pv_seed < 0\n")
    run = pytester.runpytest_subprocess()
    run.assert_outcomes(failed=1)
    run.stdout.re_match_lines([r".*to see this run again: --pv-seed=\d+"])


WAITING = """
    import asyncio
    from functools import partial

    from pvdrivers.backends.stores.store import RamStore
    from pvdrivers.xenbus.states import XenbusState

    {run}

    def test_waits(pv_vbd):
        loopback = pv_vbd(partial(RamStore, 1 << 20), mode="deterministic")
        loopback.run(scenario)
"""
# The scenario itself, or a task of its own, waits for what ends in an error when all is taken down.
ALONE = """async def scenario(frontend):
        await frontend.wait_for(XenbusState.RECONFIGURED)"""
WITH_A_TASK = """async def scenario(frontend):
        waiting = asyncio.create_task(frontend.wait_for(XenbusState.RECONFIGURED))
        await frontend.connected()
        assert not waiting"""


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [ALONE, WITH_A_TASK])
def test_a_test_that_waits_for_ever_harms_no_other(
    scenario: str, pytester: pytest.Pytester
) -> None:
    """What its tasks end with must not be left to the garbage collector: that reports it while
    pytest parses the next failing test, which Python 3.11 answers with a SystemError."""
    numbers = ", ".join(map(str, range(3000)))
    long = "".join(
        f"\n\ndef test_{i}():\n    values = [{numbers}]\n    assert sum(values) == 0\n"
        for i in range(4)
    )
    test = textwrap.dedent(WAITING.format(run=scenario))
    (pytester.path / "test_it.py").write_text(test + long)
    run = pytester.runpytest_subprocess("--timeout=60", "--tb=short")
    run.assert_outcomes(failed=5)
    everything = run.stdout.str() + run.stderr.str()
    assert "INTERNALERROR" not in everything
    assert "never retrieved" not in everything
    if scenario == ALONE:
        run.stdout.re_match_lines([r"E   scenario: .*scenario \(test_it.py:\d+\) > XenbusDev.*"])
