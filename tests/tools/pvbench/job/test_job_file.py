"""Job files and command lines with several jobs, as fio reads them."""

import pytest

from pvdrivers.tools.pvbench.__main__ import VBD, Parser, run
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio import groups
from pvdrivers.tools.pvbench.job.batches import make_batches
from pvdrivers.tools.pvbench.job.command_line import Section, read_command_line
from pvdrivers.tools.pvbench.job.job_file import read_job_file


@pytest.fixture
def read(tmp_path):
    def read(text, **more):
        for name, content in more.items():
            (tmp_path / name).write_text(content)
        path = tmp_path / "jobs.fio"
        path.write_text(text)
        notes = []
        sections = read_job_file(path, VBD.options, notes)
        return [(s.common, s.settings) for s in sections], notes

    return read


def test_sections_keys_and_comments(read):
    sections, notes = read(
        "; first\n# second\n\n[global]\n  bs = 4k   ; behind\ntime_based\n"
        "[a]\nrw=randread#x\nreadwrite=write\n[a]\nblocksize=8k\n[global]\nsize=1m\n[b]\n"
    )
    assert sections == [
        (True, {"bs": "4k", "time_based": None}),
        (False, {"name": "a", "rw": "write"}),
        (False, {"name": "a", "bs": "8k"}),
        (True, {"size": "1m"}),
        (False, {"name": "b"}),
    ]
    assert not notes


def test_the_environment_and_included_files(read, monkeypatch):
    monkeypatch.setenv("SIZE", "2m")
    text = "[global]\ninclude common\n[a]\nsize=${SIZE}\ninclude more\nfsync=3\n"
    sections, _ = read(text, common="bs=1k\n", more="iodepth=${SIZE}4\n[b]\nrw=read\n")
    assert sections == [
        (True, {"bs": "1k"}),
        (False, {"name": "a", "size": "2m", "iodepth": "2m4"}),
        (False, {"name": "b", "rw": "read", "fsync": "3"}),
    ]


def test_what_means_nothing_here_is_accepted_with_a_reason(read):
    sections, notes = read("[a]\nioengine=libaio\nthread\nrw=read\n")
    assert sections == [(False, {"name": "a", "rw": "read"})]
    assert [note.partition(" is ignored: ")[0] for note in notes] == ["ioengine", "thread"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rw=read\n", "jobs.fio:1: there is no section yet"),
        ("[a\n", "jobs.fio:1: '[a' is not a section"),
        ("[]\n", "jobs.fio:1: '[]' is not a section"),
        ("[global]\nrw=read\n", "has no job"),
        ("", "has no job"),
        (
            "[a]\n\nzonemode=zbd\n",
            "jobs.fio:3: zonemode is not supported: disks have no zones here",
        ),
        ("[a]\nlops=3\n", "jobs.fio:2: lops is no option: did you mean loops?"),
        ("[a]\noutput-format=json\n", "jobs.fio:2: output_format belongs on the command line"),
        ("[a]\nsize=${NOT_THERE}\n", "jobs.fio:2: the environment has no NOT_THERE"),
        ("[a]\ninclude nothing\n", "nothing cannot be read as a job file: No such file"),
        ("[a]\ninclude jobs.fio\n", "more than 16 files include each other"),
    ],
)
def test_mistakes_have_their_place(read, text, expected):
    with pytest.raises(OptionError) as failure:
        read(text)
    assert expected in str(failure.value)


def test_a_wrong_value_names_its_job(tmp_path, capsys):
    path = tmp_path / "jobs.fio"
    path.write_text("[good]\nrw=read\n[bad]\nrw=sideways\n")
    assert run(["vbd", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"pvbench: {path} [bad]: ")
    assert "sideways" in error
    assert error.count("\n") == 1


def line_of(text):
    line, _ = read_command_line(text.split(), VBD.options)
    return line


def test_a_name_begins_a_job():
    line = line_of("--bs 4k --name=a --rw=read --output-format=json --name b --direct 0 --rw=write")
    assert [(s.common, s.settings) for s in line.sections] == [
        (True, {"bs": "4k"}),
        (False, {"name": "a", "rw": "read"}),
        (False, {"name": "b", "direct": "0", "rw": "write"}),
    ]
    assert line.run == {"output_format": "json"}


def test_job_files_stand_among_options():
    line = line_of("a.fio --time_based --ioengine libaio --thread b.fio --write_bw_log -- -c.fio")
    assert list(map(str, line.files)) == ["a.fio", "b.fio", "-c.fio"]
    assert line.sections[0].settings == {"time_based": None, "write_bw_log": None}


def test_no_guess_is_far_fetched():
    for word, guess in (("iodpth", "did you mean --iodepth?"), ("xyzzy", "--help lists")):
        with pytest.raises(OptionError) as failure:
            line_of(f"--{word}=3")
        assert guess in str(failure.value)


def batches_of(*jobs, common=()):
    sections = [Section(dict(common), common=True)]
    sections += [Section({"rw": "read", "size": "1m", **job}) for job in jobs]
    return make_batches(sections, Parser(VBD).options)


def test_stonewalls_groups_and_clones():
    batches = groups.number(
        batches_of(
            {"name": "a", "numjobs": "3"},
            {"name": "b", "new_group": None},
            {"name": "c", "stonewall": None},
            {"name": "d"},
        )
    )
    assert [[job.name for job in batch] for batch in batches] == [["a", "b"], ["c", "d"]]
    jobs = [job for batch in batches for job in batch]
    assert [job.reporting.groupid for job in jobs] == [0, 1, 2, 2]
    assert [job.first_clone for job in jobs] == [1, 4, 5, 6]


def test_a_stonewall_for_all_jobs():
    batches = batches_of({"name": "a"}, {"name": "b"}, common={"stonewall": None}.items())
    assert [len(batch) for batch in batches] == [1, 1]


def test_a_job_has_what_is_common_and_its_own():
    ((job,),) = batches_of({"bs": "8k"}, common={"bs": "4k", "iodepth": "7"}.items())
    assert (job.bs, job.iodepth) == (8192, 7)
    assert job.common == {"bs": "4k", "iodepth": "7"}
    # What programs that plot ask for is there, given or not.
    assert {"rw": "read", "bs": "8k", "numjobs": "1", "iodepth": "7"}.items() <= job.options.items()


def test_a_job_does_not_write_what_another_verifies(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    jobs = (
        {"name": "a", "filename": str(image), "verify": "crc32c"},
        {"name": "b", "filename": str(image), "rw": "write"},
    )
    with pytest.raises(OptionError, match=r"a cannot verify .* while b writes"):
        batches_of(*jobs)
    assert batches_of(jobs[0], jobs[1] | {"stonewall": None})
