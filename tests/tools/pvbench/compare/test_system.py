"""What a report says of the machine it was made on."""

import json
import os
from pathlib import Path

import pytest

from pvdrivers.tools.pvbench.__main__ import run
from pvdrivers.tools.pvbench.compare.model import Need
from pvdrivers.tools.pvbench.compare.needs import program
from pvdrivers.tools.pvbench.compare.system import System, processor_model, sentence, version


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        (
            "processor\t: 0\nmodel\t\t: 17\nmodel name\t: A CPU @ 2 GHz\n\nmodel name\t: B\n",
            "A CPU @ 2 GHz",
        ),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", os.uname().machine),
    ],
)
def test_the_processor(cpuinfo, model):
    assert processor_model(cpuinfo) == model


def executable(folder: Path, name: str, words: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("echo fio-3.33", "3.33"),
        ("echo 'QEMU emulator version 7.2.17 (Debian 1:7.2+dfsg-7)'", "7.2.17"),
        ("echo no number", "unknown"),
        ("exit 1", "unknown"),
    ],
)
def test_the_version_of_a_program(tmp_path, words, number):
    assert version(executable(tmp_path, "peer", words)) == number


def test_a_program_that_is_not_there_has_no_version(tmp_path):
    assert version(str(tmp_path / "peer")) == "unknown"


def test_a_report_names_the_peers_that_were_measured(script, capsys, tmp_path, monkeypatch):
    for name, number in (("used", "1.2"), ("unused", "3.4")):
        executable(tmp_path, name, f"echo {name} {number}")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    absent = Need(None, lambda setting: "there is no thing")
    script.add(
        "one", script.contender("A", [1]), script.contender("B", [1], [program("used", "used")])
    )
    needs = [program("unused", "unused"), absent]
    script.add("two", script.contender("A", [1]), script.contender("B", [1], needs))
    assert run(["compare", "--output-format=json", "--runs=1", "--runtime=1ms"]) == 0
    system = json.loads(capsys.readouterr().out)["system"]
    assert system["peers"] == {"used": "1.2"}
    assert system["processors"] == len(os.sched_getaffinity(0))
    assert system["kernel"] == f"Linux {os.uname().release}"
    assert system["processor"]


def test_in_words():
    system = System("A CPU", 1, "Linux 6.1", {"fio": "3.33", "nbdkit": "1.32.5"})
    assert sentence(system) == "A CPU, 1 processor, Linux 6.1, fio 3.33, nbdkit 1.32.5"
