"""Any text is a configuration, or is refused with one sentence about a place of it; and soon."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.testing.xl_config import take_or_refuse
from pvdrivers.toolstack.xl_config.reader import MAX_SIZE

KEYS = st.sampled_from(
    ["name", "kernel", "memory", "vcpus", "maxmem", "cpus", "type", "uuid", "disk", "vif", "vscsi",
     "on_crash", "serial", "cap", "seclabel", "bootloader", "nonsense"]
)  # fmt: skip
TEXT = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["pv", "hvm", "64", "0x10", "0-3,^2", "preserve", "", "1:0:0:0,2:0:0:0",
                     "/a,,xvda", "phy:a,hdc:cdrom,r", "mac=00:16:3e:1:2:3,rate=1MB/s@20ms"]),
)  # fmt: skip


def quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


VALUE = st.recursive(
    st.one_of(TEXT.map(quote), st.integers(0, 1 << 70).map(str)),
    lambda inner: st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]"),
    max_leaves=5,
)
LINE = st.builds("{} {} {}\n".format, KEYS, st.sampled_from(["=", "="]), VALUE)
FILE = st.lists(st.one_of(LINE, LINE, st.text("a=[]'\",;\n#\\ 1\t", max_size=6)), max_size=8)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    take_or_refuse(data)


@given(FILE.map("".join), st.booleans())
def test_any_lines(text: str, whole: bool) -> None:
    base = "name = 'a'\nkernel = 'k'\n" if whole else ""
    take_or_refuse((base + text).encode(errors="surrogatepass"))


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * MAX_SIZE,
        "a = '" + "x" * MAX_SIZE,
        "a = '" + "\\n" * (MAX_SIZE // 2),
        "cmdline += 'x'\n" * (MAX_SIZE // 15),
        "disk += ['/a,,xvda']\n" * (MAX_SIZE // 21),
        "vif = ['" + "bridge=\\t," * (MAX_SIZE // 10) + "']\n",
        "disk = ['" + "phy: " * (MAX_SIZE // 5) + "']\n",
        "disk = ['/a," + " discard," * 900 + "vdev=xvda']\n",
        "vcpus = 128\ncpus = '" + "1," * 2000 + "'\n",
        "cpus = '" + "1," * (MAX_SIZE // 2) + "'\n",
        "".join(f"key{number} = 1\n" for number in range(MAX_SIZE // 16)),
        "#" * MAX_SIZE,
        "\n" * MAX_SIZE,
        "1" * MAX_SIZE,
        "memory = " + "1" * MAX_SIZE,
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.timeout(300)
def test_a_file_made_to_take_long(text: str) -> None:
    """Seconds at most; what grows with the square of such a file takes hours."""
    take_or_refuse(f"name = 'a'\nkernel = 'k'\n{text}"[:MAX_SIZE].encode())
