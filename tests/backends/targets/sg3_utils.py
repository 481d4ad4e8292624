"""What programs of sg3-utils read in bytes that a device would have sent."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def decoded(program: str, data: bytes, *options: str) -> str:
    if not shutil.which(program):
        pytest.skip(f"{program} is missing (Debian package sg3-utils)")
    done = subprocess.run(
        [program, *options], input=data.hex(" "), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
