"""`pvbridge iscsi` as it is started, and the file of those who may log in."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbridge.iscsi.accounts import read_accounts

PVBRIDGE = [sys.executable, "-m", "pvdrivers.tools.pvbridge", "iscsi"]
INITIATOR = "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq"
ACCOUNT = f'["{INITIATOR}"]\nuser = "me"\nsecret = "twelve bytes"\n'


def test_it_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    if not shutil.which("iscsi-inq"):
        pytest.skip("needs iscsi-inq (Debian package libiscsi-bin)")
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(ACCOUNT)
    accounts.chmod(0o600)
    words = ["--lun", "0=ram:1M", "--listen", "127.0.0.1:0", "--accounts", str(accounts)]
    with subprocess.Popen([*PVBRIDGE, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        with_secret = url.replace("iscsi://", "iscsi://me%twelve bytes@")
        told = subprocess.check_output(["iscsi-inq", with_secret], text=True)
        assert "Vendor:PVDRIVER" in told
        assert subprocess.run(["iscsi-inq", url], capture_output=True).returncode != 0
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--listen", "here"], "--listen here: write HOST:PORT"),
        (["--listen", "127.0.0.1:70000"], "write HOST:PORT"),
        (["--name", "target"], "--name target: write such as iqn."),
        (["--accounts", "/nowhere/x"], "/nowhere/x: No such file"),
        (["--listen", "192.0.2.1:1"], "--listen 192.0.2.1:1: "),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], sentence: str) -> None:
    run = subprocess.run([*PVBRIDGE, "--lun=0=ram:1M", *words], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, "")
    (line,) = run.stderr.splitlines()
    assert line.startswith("pvbridge: ")
    assert sentence in line


def test_accounts(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(ACCOUNT + 'target = { user = "us", secret = "another secret" }\n')
    path.chmod(0o600)
    found = read_accounts(path)[INITIATOR]
    assert (found.name, found.secret) == ("me", b"twelve bytes")
    assert found.ours
    assert (found.ours.name, found.ours.secret) == ("us", b"another secret")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('["iqn.a"]\nuser = "me"\nsecret = "short"\n', "at least 12 bytes"),
        ('["iqn.a"]\nuser = "me"\n', "missing required field `secret`"),
        ('["iqn.a"]\nuser = "me"\npassword = "x"\n', "unknown field `password`"),
        (
            '["iqn.a"]\nuser = "me"\nsecret = "twelve bytes"\n'
            'target = { user = "us", secret = "twelve bytes" }\n',
            "the same secret",
        ),
        ("[", "TOML"),
    ],
)
def test_accounts_that_cannot_be(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsageError) as error:
        read_accounts(path)
    assert sentence in str(error.value) or sentence == "TOML"
    assert str(error.value).startswith(f"{path}: ")


def test_secrets_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(ACCOUNT)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        read_accounts(path)
