"""pvsim --trace: what the CPUs of a run do, in the format of xentrace's files."""

from pathlib import Path

from tests.pvdrivers.sim.xentrace.records import KNOWN, LOST, parse
from tests.tools.pvsim.scenarios import guest, run_pvsim

SCENARIO = (
    'run.time = "2s"\n'
    + guest("batch", 'kind = "compute"', count=3)
    + guest("web", 'kind = "open", interval = "1ms", work = "100us"')
    + guest("mail", 'kind = "disk", rw = "randrw", rate_iops = 500')
)


def test_a_trace_has_all_records_of_a_run_and_changes_nothing(tmp_path: Path) -> None:
    plain = run_pvsim(tmp_path, SCENARIO, "--output-format", "json")
    files = [tmp_path / "first", tmp_path / "second"]
    for file in files:
        traced = run_pvsim(tmp_path, SCENARIO, "--output-format", "json", "--trace", str(file))
        assert (traced.returncode, traced.stdout) == (0, plain.stdout), traced.stderr
    assert files[0].read_bytes() == files[1].read_bytes()
    records = list(parse(files[0].read_bytes()))
    assert all(record.event in KNOWN and record.event != LOST for record in records)
    assert sum(record.event == 0x41001 for record in records) == 6  # domains made
    times = [record.time for record in records if record.time]
    assert max(times) >= 2_000_000_000


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    nowhere = run_pvsim(tmp_path, SCENARIO, "--trace", str(tmp_path / "none" / "file"))
    assert nowhere.returncode == 2
    assert "No such file or directory; name a file that can be written" in nowhere.stderr
    sweep = '[sweep]\nguest = "batch"\ncounts = [1, 2]\n'
    swept = run_pvsim(tmp_path, SCENARIO + sweep, "--trace", str(tmp_path / "file"))
    assert swept.returncode == 2
    assert "a trace is of one run" in swept.stderr
