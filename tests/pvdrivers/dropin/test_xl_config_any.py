"""Any disks, vifs and syntax are for us what they are for Debian's xl."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.ring.errors import UsageError

from .xl_facts import check_disks, nic_facts, our_disk, our_vif, ours, with_list

VDEVS = st.sampled_from(["xvda", "hdc", "sdb1", "d2p3", "51728"])
WORDS = st.text("abrw/:.-_ 1", max_size=6)
ACCESS = st.sampled_from(["", "r", "ro", "rw", "w", "x"])
FORMAT = st.sampled_from(["", "raw", "qcow", "qcow2", "vhd", "qed", "empty", "ext4"])
PREFIX = st.sampled_from(
    ["", "", "phy:", "file:", "tap:aio:", "raw:", "vhd:", "nbd:", "iscsi:", "tap2:", "x:", " "]
)
PIECES = st.one_of(
    VDEVS,
    FORMAT,
    ACCESS,
    WORDS,
    VDEVS.map("vdev={}".format),
    FORMAT.map("format={}".format),
    ACCESS.map("access={}".format),
    WORDS.map("backend={}".format),
    WORDS.map("script={}".format),
    VDEVS.map("{}:cdrom".format),
    st.sampled_from(["phy", "qdisk", "tap", "loop"]).map("backendtype={}".format),
    st.sampled_from(
        [
            "cdrom",
            "devtype=cdrom",
            "devtype=disk",
            "discard",
            "no-discard",
            "direct-io-safe",
            "colo",
            "specification=xen",
            "specification=virtio",
            "k=v",
        ]
    ),
)
TARGET = st.one_of(st.just(""), st.text("ab,=/ ", max_size=8).map("target={}".format))
ANY_ORDER = st.tuples(PREFIX, st.lists(PIECES, max_size=6), TARGET).map(
    lambda parts: parts[0] + ",".join([*parts[1], *([parts[2]] if parts[2] else [])])
)
BY_POSITION = st.tuples(PREFIX, WORDS, FORMAT, VDEVS, ACCESS, st.lists(PIECES, max_size=2)).map(
    lambda parts: parts[0] + ",".join([*parts[1:5], *parts[5]])
)
# Where we are stricter, xl refuses the disk when it makes it.
STRICTER = ("this disk has no target", "vdev is")


@settings(max_examples=50)
@given(st.lists(st.one_of(ANY_ORDER, BY_POSITION), min_size=1, max_size=30))
def test_any_disks(dry_run_xl, specs):
    taken, refused = [], None
    for spec in specs:
        try:
            our_disk(spec)
        except UsageError as error:
            if not any(words in str(error) for words in STRICTER):
                refused = spec
        else:
            taken.append(spec)
    if taken:
        check_disks(dry_run_xl, taken)
    if refused is not None:
        assert dry_run_xl.create(with_list("disk", [refused])) is None, refused


NUMBERS = st.sampled_from(["1", "20", "010", "0", "250", "4294967295", "99999999999"])
RATES = st.builds(
    "rate={}{}/s{}".format,
    NUMBERS,
    st.sampled_from(["GB", "MB", "KB", "B", "Gb", "Mb", "Kb", "b", "K"]),
    st.one_of(
        st.just(""), st.builds("@{}{}".format, NUMBERS, st.sampled_from(["ms", "us", "s", "m", ""]))
    ),
)
NAMES = ["bridge", "gatewaydev", "netdev", "ip", "script", "backend", "vifname", "model"]
TEXTS = st.builds("{}={}".format, st.sampled_from(NAMES), st.text("ab=/.:- 1", max_size=8))
BYTES = st.integers(0, 255).flatmap(lambda n: st.sampled_from([f"{n:x}", f"{n:02x}", f"{n:02X}"]))
MACS = st.lists(BYTES, min_size=6, max_size=6).map(lambda six: "mac=" + ":".join(six))
OTHERS = st.sampled_from(
    ["trusted", "untrusted", "type=vif", "devid=7", "mtu=68", "mtu=65521", "accel=x", "vlan=3"]
)
VIF = st.lists(st.one_of(TEXTS, MACS, RATES, OTHERS), max_size=5).map(",".join)


@settings(max_examples=50)
@given(st.lists(VIF, min_size=1, max_size=30))
def test_any_vifs(dry_run_xl, specs):
    taken = []
    for spec in specs:
        try:
            our_vif(spec, 0)
        except UsageError:
            continue
        taken.append(spec)
    theirs = dry_run_xl.create(with_list("vif", taken))
    assert theirs is not None, taken
    for devid, (spec, nic) in enumerate(zip(taken, theirs.get("nics", []), strict=True)):
        assert our_vif(spec, devid) == nic_facts(nic, "pv"), spec


TOKENS = st.sampled_from(
    ["name", "memory", "=", "+=", "[", "]", ",", ";", "\n", "# c\n", '"a"', "'b'", "1", "0x2", " ",
     '"\\n"', "a1", "=1", "=[", "1,", '="a"\n', "='\\\\'\n"]
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(TOKENS, max_size=12).map("".join))
def test_any_syntax(dry_run_xl, text):
    """Behind settings that make a whole of it, whatever was set."""
    last = '\nname="a"\nkernel="k"\nmemory=1\n'
    assert (ours(text + last) is None) == (dry_run_xl.create(text + last) is None)
