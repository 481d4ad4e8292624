"""The pytest plugin as its users see it: run in a pytest of their own."""

import pytest

pytest_plugins = ["pytester"]

FIRST_TEST = """
from functools import partial

import pytest

from pvdrivers.backends.vbd.store import RamStore

def test_domains(pv_domains, pv_machine):
    assert pv_domains.backend.info.privileged
    assert not pv_domains.frontend.info.privileged
    assert pv_machine.domain(pv_domains.frontend.domid).info.domid == 1

@pytest.mark.parametrize("mode", ["loop", "deterministic"])
def test_disk(pv_loopback, mode):
    async def scenario(frontend):
        await frontend.write(0, b"x" * 512)
        return await frontend.read(0, 1)

    loopback = pv_loopback(partial(RamStore, 1 << 20), mode=mode)
    assert loopback.run(scenario) == b"x" * 512

def test_seed(pv_seed, record_property):
    assert pv_seed == 7

def test_without_seed():
    assert False
"""


def test_fixtures_and_seed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FIRST_TEST)
    with_seed = pytester.runpytest_subprocess("--pv-seed=7", "-p", "no:randomly")
    with_seed.assert_outcomes(passed=4, failed=1)
    with_seed.stdout.no_fnmatch_line("*--pv-seed=*to see*")

    other_seed = pytester.runpytest_subprocess("--pv-seed=8")
    other_seed.assert_outcomes(passed=3, failed=2)
    other_seed.stdout.fnmatch_lines(["*to see this run again: --pv-seed=8"])


def test_a_seed_is_chosen_and_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_seed(pv_seed):\n    assert pv_seed < 0\n")
    run = pytester.runpytest_subprocess()
    run.assert_outcomes(failed=1)
    run.stdout.re_match_lines([r".*to see this run again: --pv-seed=\d+"])
