"""The file of a device's in-flight logs, where there is no room for it."""

import errno
import os
from pathlib import Path

import pytest

from pvdrivers._core import ffi
from pvdrivers.backends.inflight import InflightFile
from pvdrivers.backends.state_directory import StateDirectory


def test_a_full_disk_leaves_no_half_made_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    state = StateDirectory(tmp_path / "state")
    log = InflightFile(state, "vbd-1-0")
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        assert [memory.address for memory in log.map([4096])] == [ffi.NULL]
    assert state.names() == []
    assert "No space left on device" in caplog.text
    assert log.map([4096])[0].address != ffi.NULL
