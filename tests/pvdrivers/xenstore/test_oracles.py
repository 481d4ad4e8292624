"""Other people's clients, unmodified, against pvstored."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TEST_XENSTORE = "/usr/lib/xen-4.17/bin/test-xenstore"


@pytest.fixture(scope="module", params=[(), ("--uvloop",)], ids=["asyncio", "uvloop"])
def pvstored(request, tmp_path_factory):
    """The server as a user starts it; the value is the environment its clients need."""
    if request.param:
        pytest.importorskip("uvloop")
    socket = tmp_path_factory.mktemp("pvstored") / "socket"
    command = [sys.executable, "-m", "pvdrivers.tools.pvstored", "--socket", str(socket)]
    with subprocess.Popen([*command, *request.param], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == f"pvstored: listening on {socket}\n"
        yield {**os.environ, "XENSTORED_PATH": str(socket)}
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
    assert not socket.exists()


@pytest.fixture
def xenstore(pvstored):
    """Runs xenstore-NAME with arguments; its output."""
    if not shutil.which("xenstore-read"):
        pytest.skip("needs xenstore-read (Debian package xenstore-utils)")

    def run(name, *arguments, status=0):
        done = subprocess.run(
            [f"xenstore-{name}", *arguments],
            env=pvstored,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    yield run
    run("rm", "/test")


def test_xenstore_read_write_list_rm_exists(xenstore):
    xenstore("write", "/test/a", "1", "/test/b", "2")
    assert xenstore("read", "/test/a", "/test/b") == "1\n2\n"
    assert xenstore("list", "/test") == "a\nb\n"
    xenstore("exists", "/test/a")
    xenstore("rm", "/test/a")
    xenstore("exists", "/test/a", status=1)
    xenstore("read", "/test/a", status=1)


def test_xenstore_ls_and_chmod(xenstore):
    xenstore("write", "/test/a/b", "value")
    xenstore("chmod", "-r", "/test/a", "n0", "r5")
    listing = xenstore("ls", "-f", "-p", "/test")
    assert listing == '/test/a = ""   (n0,r5)\n/test/a/b = "value"   (n0,r5)\n'


def test_xenstore_list_of_a_directory_in_parts(xenstore):
    names = [f"a-rather-long-name-{i}" for i in range(300)]
    xenstore("write", *(word for name in names for word in (f"/test/{name}", "")))
    assert xenstore("list", "/test").split() == names


def test_xenstore_watch(pvstored, xenstore):
    watch = subprocess.Popen(
        ["xenstore-watch", "-n", "3", "/test"], env=pvstored, stdout=subprocess.PIPE, text=True
    )
    with watch:
        assert watch.stdout.readline() == "/test\n"
        xenstore("write", "/test/a", "1")
        assert watch.stdout.readline() == "/test/a\n"
        xenstore("rm", "/test/a")
        assert watch.stdout.readline() == "/test/a\n"
        assert watch.wait(10) == 0


@pytest.mark.parametrize("arguments", [("-i", "5"), ("-r", "1")], ids=["all", "random"])
def test_test_xenstore(pvstored, arguments):
    if not Path(TEST_XENSTORE).exists():
        pytest.skip("needs test-xenstore (Debian package xen-utils-4.17)")
    done = subprocess.run(
        [TEST_XENSTORE, *arguments], env=pvstored, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    if arguments[0] == "-i":
        assert len(done.stdout.splitlines()) == 12


def test_pyxs(pvstored):
    pyxs = pytest.importorskip("pyxs", reason="needs the Python package pyxs 0.4.1")
    with pyxs.Client(unix_socket_path=pvstored["XENSTORED_PATH"]) as client:
        client.write(b"/pyxs/q", b"v")
        assert client.read(b"/pyxs/q") == b"v"
        assert client.list(b"/pyxs") == [b"q"]
        assert not client.exists(b"/nothing")
        client.set_perms(b"/pyxs/q", [b"n0", b"r3"])
        assert client.get_perms(b"/pyxs/q") == [b"n0", b"r3"]
        assert client.get_domain_path(4) == b"/local/domain/4"
        monitor = client.monitor()
        monitor.watch(b"/pyxs", b"token")
        events = monitor.wait()
        assert next(events) == (b"/pyxs", b"token")
        client.write(b"/pyxs/q", b"w")
        assert next(events) == (b"/pyxs/q", b"token")
        monitor.unwatch(b"/pyxs", b"token")
        client.transaction()
        client.write(b"/pyxs/t", b"1")
        assert client.commit()
        assert [path for path, _, _ in client.walk(b"/pyxs")] == [b"/pyxs", b"/pyxs/q", b"/pyxs/t"]
        client.introduce_domain(4, 1, 2)
        assert client.is_domain_introduced(4)
        client.delete(b"/pyxs")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--socket"),
        (("--socket", ""), "the path is empty"),
        (("--socket", "/nonexistent/socket"), "cannot listen on /nonexistent/socket"),
        (("--socket", "x", "--quota", "bananas=1"), "there is no quota 'bananas'"),
        (("--socket", "x", "--quota", "nodes"), "nodes=1000"),
        (("--socket", "x", "--quota", "nodes=many"), "nodes=1000"),
        (("--socket", "x", "--colour"), "--colour"),
    ],
)
def test_bad_usage_is_one_sentence_and_status_2(arguments, reason):
    command = [sys.executable, "-m", "pvdrivers.tools.pvstored", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("pvstored: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_second_server_leaves_the_first_alone(pvstored, xenstore):
    command = [sys.executable, "-m", "pvdrivers.tools.pvstored"]
    command += ["--socket", pvstored["XENSTORED_PATH"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "already" in done.stderr
    xenstore("list", "/")
