"""What a configuration may say, and the sentence for what it may not."""

import asyncio
import re
from pathlib import Path

import pytest

from pvdrivers.backends.scsi.host import HostConfig
from pvdrivers.backends.vbd.disk import DiskConfig, open_disk
from pvdrivers.backends.vnif.vif import VifConfig
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.scsi.persistent_reserve import Out, reserve_out
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator
from pvdrivers.tools.pvbackd import scsi_units
from pvdrivers.tools.pvbackd.config import Config, ConfigError, read_config
from pvdrivers.tools.pvbackd.stores import path_for

DISK = DiskConfig("/local/domain/0/backend/vbd/3/51712", "/images/web.img", "phy", "xvda")

ROBOT = """
[[scsi]]
lun = "robot"
unit = {{kind = "changer", folder = "/tapes", drives = ["lto-1"]}}
[[scsi]]
{}
"""


def parse(text: str, folder: Path) -> Config:
    path = folder / "pvbackd.toml"
    path.write_text(text)
    return read_config(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("limit = 1", "limit"),
        ("[limits]\nmax_queues = 0", "max_queues"),
        ("[limits]\nmax_queues = 'four'", "max_queues"),
        ("[limits]\nmax_ring_page_order = 99", "max_ring_page_order"),
        ("[[disk]]\nparms = '*'", "parms"),
        ("[[disk]]\nstore = {kind = 'tape'}", "tape"),
        ("[[disk]]\nfilters = [{kind = 'error'}]", "seed"),
        ("[[disk]]\nfilters = [{kind = 'error', seed = 1, probability = 2}]", "probability"),
        ("[[disk]]\nfilters = [{kind = 'delay', delay_us = -1}]", "delay_us"),
        ("[threads]\ncount = 0", "count"),
        ("[threads]\nmode = 'idle'", "mode"),
        ("[threads]\ncount = 2\nprocessors = [0]", "2 poll threads on 1 processors"),
        ("[metrics]\nlisten = '9090'", "HOST:PORT"),
        ("[log]\nburst = 0", "burst"),
        ("[log]\nlevel = 'loud'", "level"),
        ("nonsense = ", "pvbackd.toml"),
        # What may stand there instead.
        ("[limits]\nmax_queue = 1", r"limits: .*'max_queue': did you mean max_queues\?"),
        (
            "zzz = 1",
            "'zzz': there are limits, disk, unlisted, vif_limits, vif, scsi_limits, scsi, threads",
        ),
        (
            "[pumps]\nthreads = 2",
            "'pumps': there are limits, disk, unlisted, vif_limits, vif, scsi_limits, scsi",
        ),
        ("[[disk]]\nparms = '*'", r"disk\[0\]: .*'parms': did you mean params\?"),
        ("[threads]\nmode = 'idle'", "threads.mode: 'idle' is none of event, hybrid, poll"),
        (
            "[[disk]]\nstore = {kind = 'tape'}",
            "store.kind: 'tape' is none of params, file, ram, null",
        ),
        ("[[disk]]\nstore = {kind = 'file', pth = 'a'}", r"store: .*'pth': did you mean path\?"),
        ("[[disk]]\nstore = {kind = 'ram', size = 512, path = 'a'}", "size, sector_size"),
        (
            "[[disk]]\nstore = {kind = 'file', engine = 'x'}",
            "'x' is none of auto, io_uring, threads",
        ),
        ("[[disk]]\nstore = {kind = 'ram', size = 8, sector_size = 7}", "7 is none of 512, 1024"),
        (
            "[[disk]]\nfilters = [{kind = 'error', seed = 1, operations = ['raed']}]",
            r"filters\[0\].operations\[0\]: 'raed' is none of discard, flush, read, write",
        ),
        ("[[disk]]\nfilters = [{kind = 'error'}]", r"filters\[0\]: the key 'seed' is missing"),
        ("[[disk]]\nstore = {kind = 'file', path = '/a/{pramas}'}", r"{pramas}.*mean params\?"),
        ("[[disk]]\nfilters = [{kind = 'log', path = '/a/{dom}'}]", r"{dom}.*mean domid\?"),
        ("[[disk]]\nstore = {kind = 'file', path = '/a/{}'}", "params, name, domid, devid"),
        ("[vif_limits]\nmax_queues = 0", "max_queues is 1 to 64"),
        ("[[vif]]\nuplink = {kind = 'tun'}", "uplink.kind: 'tun' is none of tap, switch, passt"),
        ("[[vif]]\nuplink = {kind = 'passt'}", "uplink: the key 'socket' is missing"),
        ("[[vif]]\nuplink = {kind = 'tap', bridge = '{brigde}'}", r"{brigde}.*mean bridge\?"),
        ("[[vif]]\nuplink = {kind = 'tap', mtu = 67}", r"vif\[0\].uplink.mtu"),
        ("[[vif]]\nbrigde = 'a'", r"vif\[0\]: .*'brigde': did you mean bridge\?"),
        ("[scsi_limits]\nsg_grant = 5000", "4096"),
        ("[[scsi]]\nlunn = 'a'", r"scsi\[0\]: .*'lunn': did you mean lun\?"),
        ("[[scsi]]\nlun = 'a'\nignore = true", "a host is ignored as a whole"),
        ("[[scsi]]\nunit = {kind = 'floppy'}", "unit.kind: 'floppy' is none of disk"),
        ("[[scsi]]\nunit = {kind = 'disk', store = {kind = 'params'}}", "none of file, ram, null"),
        (
            "[[scsi]]\nunit = {kind = 'disk', store = {kind = 'file', path = '/a/{params}'}}",
            "{params} in '/a/{params}': there are lun",
        ),
        (
            "[[scsi]]\nunit = {kind = 'disk', filters = [{kind = 'log', path = '{lum}'}]}",
            "mean lun",
        ),
        ("[[scsi]]\nunit = {kind = 'disk', vendor = 'much too long'}", "vendor.*1 to 8 printable"),
        ("[[scsi]]\nunit = {kind = 'disk', refuse = ['FORMAT']}", "has no command 'FORMAT'.*UNIT"),
        (
            "[[scsi]]\nunit = {kind = 'disk', read_only = true, store = {kind = 'ram', size = 8}}",
            "read_only is for a store of kind file",
        ),
        ("[[scsi]]\nunit = {kind = 'robot'}", "'robot' is none of disk, snapshot, tape, changer"),
        ("[[scsi]]\nunit = {kind = 'iscsi', url = 'san'}", "'san' is not iscsi://HOST"),
        ("[[scsi]]\nunit = {kind = 'iscsi', url = '{name}'}", "{name}.*there are lun"),
        ("[[scsi]]\nunit = {kind = 'iscsi', chap_user = 'a'}", "chap_user and secret_file go toge"),
        ("[[scsi]]\nunit = {kind = 'iscsi', initiator = 'iqn.x:a'}", "lacks {initiator}"),
        (
            "[[scsi]]\nunit = {kind = 'iscsi', allow = ['FORMAT']}",
            "no command 'FORMAT'.*FORMAT UNIT",
        ),
        ("[[scsi]]\nunit = {kind = 'sg', patience = -1}", "patience"),
        ("[[scsi]]\nunit = {kind = 'sg', devices = ''}", "mean device"),
        ("[[scsi]]\nunit = {kind = 'tape', capacity = 5}", "a capacity of at least 65536 bytes"),
        ("[[scsi]]\nunit = {kind = 'tape', block_length = -1}", "block_length is 0 .variable. to"),
        ("[[scsi]]\nunit = {kind = 'tape', catridge = ''}", "mean cartridge"),
        (
            "[[scsi]]\nunit = {kind = 'tape', cartridge = '', read_only = true}",
            "read_only is for a cartridge: an empty drive has none",
        ),
        ("[[scsi]]\nunit = {kind = 'tape', reservations = '/a/{tape}'}", "{tape}.*there are lun"),
        ("[[scsi]]\nunit = {kind = 'changer'}", "the key 'drives' is missing"),
        ("[[scsi]]\nunit = {kind = 'changer', drives = []}", "1 to 768 drive elements"),
        (
            "[[scsi]]\nunit = {kind = 'changer', drives = ['a'], slots = 0}",
            "1 to 64512 storage elements",
        ),
        (
            "[[scsi]]\nunit = {kind = 'changer', drives = ['lto-1', 'lto-1']}",
            "drives lto-1, lto-1: each is there once",
        ),
        (
            ROBOT.format("lun = 'lto-2'\nunit = {kind = 'tape', cartridge = ''}"),
            "the rule for lun 'robot': no rule of the configuration matches p-dev 'lto-1'",
        ),
        (
            ROBOT.format("unit = {kind = 'tape', cartridge = '/tapes/a.tap'}"),
            "drive 'lto-1' of a changer is tape cartridge=/tapes/a.tap: it has to be of kind tape",
        ),
        (
            "[[scsi]]\nunit = {kind = 'disk', snapshots = ['/s/{disk}']}",
            "{disk} in '/s/{disk}': there are lun",
        ),
        ("[[scsi]]\nunit = {kind = 'snapshot'}", "the key 'disk' is missing"),
        (
            "[[scsi]]\nlun = 'db@1'\nunit = {kind = 'snapshot', disk = 'db'}",
            "the rule for lun 'db@1': no rule of the configuration matches p-dev 'db'",
        ),
        (
            "[[scsi]]\nlun = 'db@2'\nunit = {kind = 'snapshot', disk = 'db', number = 2}\n"
            "[[scsi]]\nunit = {kind = 'disk', snapshots = ['/s/1']}",
            r"'db', whose snapshot 2 a unit is to be, is disk snapshots=\[/s/1\]: it has to be",
        ),
        (ROBOT.format(""), "drive 'lto-1' of a changer is disk: it has to be"),
        ("unlisted = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a" + ".a" * 5000 + " = 1", "pvbackd.toml"),
        ("control = '\udcff'", "pvbackd.toml"),
    ],
)
def test_a_bad_file_is_one_sentence(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "pvbackd.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=complaint) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[log]\nburst = 5\n\n[threads]\ncount = 0\n", "line 5: threads.count: "),
        ("[[disk]]\nparams = 'a'\n\n[[disk]]\nparms = 'b'\n", r"line 5: disk\[1\]: "),
        (
            "[[disk]]\nparams = 'a'\nstore = {kind = 'file', pth = 'b'}\n",
            r"line 3: disk\[0\].store: ",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, place: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"pvbackd.toml: {place}"):
        parse(text, tmp_path)


def test_the_first_rule_that_matches_counts(tmp_path: Path) -> None:
    config = parse(
        """
        [limits]
        max_queues = 2
        [[disk]]
        device = "4/*"
        ignore = true
        [[disk]]
        params = "/images/*"
        limits = {persistent = false}
        filters = [{kind = "rate", bytes_per_second = 1000}]
        [[disk]]
        store = {kind = "null", size = 512}
        """,
        tmp_path,
    )
    options = config.disk_options(DISK)
    assert options is not None
    assert not options.limits.persistent
    assert options.limits.max_queues == 4
    assert (
        config.disk_options(DiskConfig("/local/domain/0/backend/vbd/4/51712", "/images/a")) is None
    )
    other = config.disk_options(DiskConfig("/local/domain/0/backend/vbd/5/51712", "/dev/sda"))
    assert other is not None
    assert other.limits.max_queues == 2


def test_poll_threads_are_as_configured(tmp_path: Path) -> None:
    text = "[threads]\ncount = 3\nmode = 'event'\n"
    with parse(text, tmp_path).threads.driver() as threads:
        assert repr(threads) == "<PollThreads event, pollables [0, 0, 0]>"
    assert repr(Config().threads.driver()) == "<PollThreads hybrid, pollables []>"


def test_equal_files_give_equal_plans(tmp_path: Path) -> None:
    """A reload leaves alone what has not changed."""
    text = '[[disk]]\nfilters = [{kind = "torn", seed = 1}]\nstore = {kind = "ram", size = 512}\n'
    options = parse(text, tmp_path).disk_options(DISK)
    assert options == parse(f"# again\n{text}", tmp_path).disk_options(DISK)
    assert options != parse(text.replace("seed = 1", "seed = 2"), tmp_path).disk_options(DISK)
    assert options != parse(f"{text}[limits]\nmax_queues = 1", tmp_path).disk_options(DISK)


def test_every_filter_and_store_can_be_had(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(8192))
    for store in (
        'kind = "ram", size = 8192',
        'kind = "null", size = 8192',
        f'kind = "file", path = "{tmp_path}/{{name}}mage", threads = 1, read_only = true',
    ):
        config = parse(
            f"""
            [[disk]]
            store = {{{store}}}
            filters = [
                {{kind = "delay", delay_us = 1, jitter_us = 1, operations = ["read"]}},
                {{kind = "rate", bytes_per_second = 1000000000}},
                {{kind = "error", seed = 1, probability = 0.0}},
                {{kind = "short", seed = 1, probability = 0.0}},
                {{kind = "torn", seed = 1, probability = 0.0}},
                {{kind = "log", path = "{tmp_path}/{{domid}}-{{devid}}.log"}},
            ]
            """,
            tmp_path,
        )
        disk = DiskConfig(DISK.path, "", "", "i")
        options = config.disk_options(disk)
        assert options is not None
        with asyncio.run(options.open_store(disk)) as opened:
            assert opened.sectors == 16
            assert opened.read(0, 1) == bytes(512)
        assert (tmp_path / "3-51712.log").exists()


def test_the_pages_example(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "pvbackd.md").read_text()
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    config = parse(max(examples, key=len), tmp_path)
    assert all(parse(each, tmp_path).vif or parse(each, tmp_path).scsi for each in examples)
    assert config.disk[0].matches(DiskConfig(DISK.path, "/images/test-1", "", "xvda"))
    defaults = Config()
    assert config.limits == defaults.limits
    assert config.vif_limits == defaults.vif_limits
    assert config.scsi_limits == defaults.scsi_limits
    assert config.log == defaults.log
    assert (config.unlisted, config.control) == (defaults.unlisted, defaults.control)


def test_a_vif_is_served_only_by_a_rule(tmp_path: Path) -> None:
    vif = VifConfig("/local/domain/0/backend/vif/3/0", mac="00:16:3e:aa:00:01", bridge="xenbr0")
    assert Config().vif_options(vif) is None
    config = parse(
        """
        [vif_limits]
        max_queues = 2
        [[vif]]
        mac = "00:16:3E:bb:*"
        uplink = {kind = "null"}
        [[vif]]
        bridge = "xenbr?"
        uplink = {kind = "switch", name = "{bridge}-{domid}"}
        """,
        tmp_path,
    )
    options = config.vif_options(vif)
    assert options is not None
    assert str(options.open_uplink) == "switch name={bridge}-{domid}"
    assert options.limits.max_queues == 2
    with asyncio.run(options.open(vif)) as uplink:
        assert repr(uplink) == "<SwitchUplink port of xenbr0-3, 1 queue>"


def test_every_uplink_and_filter_can_be_had(tmp_path: Path) -> None:
    vif = VifConfig("/local/domain/0/backend/vif/3/0", mac="00:16:3e:aa:00:01", bridge="xenbr0")
    for uplink in (
        'kind = "switch", isolated = true, queues = 2',
        'kind = "hairpin", queues = 2',
        'kind = "null"',
        f'kind = "passt", socket = "{tmp_path}/{{interface}}"',
    ):
        config = parse(
            f"""
            [[vif]]
            uplink = {{{uplink}}}
            filters = [
                {{kind = "loss", seed = 1, probability = 0.5, direction = "tx"}},
                {{kind = "duplicate", seed = 1, probability = 0.5, direction = "rx"}},
                {{kind = "corrupt", seed = 1, probability = 0.5}},
                {{kind = "reorder", seed = 1, probability = 0.5, delay_us = 10}},
                {{kind = "delay", delay_us = 10, jitter_us = 1}},
                {{kind = "rate", bytes_per_second = 1000000, burst = 1500}},
            ]
            """,
            tmp_path,
        )
        options = config.vif_options(vif)
        assert options is not None
        with asyncio.run(options.open(vif)) as opened:
            told = repr(opened)
        for part in ("loss", "duplicate", "corrupt", "reorder", "delay", "rate"):
            assert f"{part} on" in told


HOST = HostConfig("/local/domain/0/backend/vscsi/3/0")


def test_a_host_is_served_only_by_a_rule(tmp_path: Path) -> None:
    assert Config().scsi_options(HOST) is None
    text = """
        [scsi_limits]
        sg_grant = 64
        [[scsi]]
        device = "3/*"
        lun = "data*"
        unit = {kind = "disk", store = {kind = "null", size = 4096}}
        [[scsi]]
        device = "4/*"
        ignore = true
        [[scsi]]
        unit = {kind = "disk", store = {kind = "ram", size = 8192}}
        """
    config = parse(text, tmp_path)
    assert config.rules["scsi"] == 3
    assert config.scsi_options(HostConfig(HOST.path.replace("/3/", "/4/"))) is None
    options = config.scsi_options(HOST)
    assert options is not None
    assert options == parse(text, tmp_path).scsi_options(HOST)
    assert options != parse(text.replace("4096", "512"), tmp_path).scsi_options(HOST)
    assert options.limits.sg_grant == 64
    for p_dev, blocks in (("data-1", 8), ("root", 16)):
        unit = asyncio.run(options.open_unit(HOST, p_dev))
        assert unit.store is not None
        assert unit.store.sectors == blocks
        unit.close()


def test_a_changer_is_opened_with_its_drives(tmp_path: Path) -> None:
    text = """
        [[scsi]]
        lun = "robot-?"
        unit = {{kind = "changer", folder = "{0}", ports = 0, drives = ["{{lun}}-drive"]}}
        [[scsi]]
        lun = "lto"
        unit = {{kind = "tape", cartridge = "{0}/A.tap", read_only = true, block_length = 512}}
        """
    (tmp_path / "A.tap").touch()
    options = parse(text.format(tmp_path), tmp_path).scsi_options(HOST)
    assert options is not None
    with pytest.raises(UsageError, match="no rule of the configuration matches p-dev 'robot-1-dri"):
        options.stands_on(HOST, "robot-1")
    text += """
        [[scsi]]
        unit = {{kind = "tape", cartridge = "", capacity = 65536}}
        """
    options = parse(text.format(tmp_path), tmp_path).scsi_options(HOST)
    assert options is not None
    assert options.stands_on(HOST, "robot-1") == ("robot-1-drive",)
    drive = asyncio.run(options.open_unit(HOST, "robot-1-drive"))
    robot = asyncio.run(options.open_unit(HOST, "robot-1", drive))
    assert (drive.capacity, drive.cartridge, robot.drives) == (65536, None, (drive,))
    assert len(robot.inventory.elements) == 1 + 1 + 24
    tape = asyncio.run(options.open_unit(HOST, "lto"))
    assert (tape.cartridge, tape.volume.read_only) == (tmp_path / "A.tap", True)
    assert tape.block_length == 512
    for unit in (robot, drive, tape):
        unit.close()


def test_a_snapshot_is_opened_with_its_disk(tmp_path: Path) -> None:
    text = """
        [[scsi]]
        lun = "db@2"
        unit = {{kind = "snapshot", disk = "db", number = 2, copies = false}}
        [[scsi]]
        unit = {{kind = "disk", store = {{kind = "ram", size = 1048576}}, copies = false,
                snapshots = ["{0}/{{lun}}-1", "{0}/{{lun}}-2"]}}
        """.replace("false,\n", "false,")
    options = parse(text.format(tmp_path), tmp_path).scsi_options(HOST)
    assert options is not None
    assert options.stands_on(HOST, "db@2") == ("db",)
    disk = asyncio.run(options.open_unit(HOST, "db"))
    snapshot = asyncio.run(options.open_unit(HOST, "db@2", disk))
    assert snapshot.snapshot is disk.snapshots[2]
    assert sorted(path.name for path in tmp_path.glob("db-*")) == ["db-1", "db-2"]
    assert (disk.joins_copies, snapshot.joins_copies) == (False, False)
    assert disk.files == {f"{tmp_path}/db-1": True, f"{tmp_path}/db-2": True}
    snapshot.close()
    disk.close()


def test_who_reads_a_snapshot_need_not_have_its_disk(tmp_path: Path) -> None:
    """The rule for the disk is another host's."""
    text = f"""
        [[scsi]]
        device = "3/*"
        lun = "db@1"
        unit = {{kind = "snapshot", disk = "db"}}
        [[scsi]]
        device = "4/*"
        lun = "db"
        unit.kind = "disk"
        unit.store = {{kind = "ram", size = 4096}}
        unit.snapshots = ["{tmp_path}/1"]
        [[scsi]]
        device = "5/*"
        lun = "other"
        unit = {{kind = "tape"}}
        """
    options = parse(text, tmp_path).scsi_options(HOST)
    assert options is not None
    assert options.below is not None
    assert options.stands_on(HOST, "db@1") == ("db",)
    with pytest.raises(UsageError, match="no rule of the configuration matches p-dev 'db'"):
        options.stands_on(HOST, "db")
    with pytest.raises(UsageError, match="no rule of the configuration matches p-dev 'db'"):
        asyncio.run(options.open_unit(HOST, "db"))
    of_the_disk = parse(text, tmp_path).scsi_options(HostConfig(HOST.path.replace("/3/", "/4/")))
    assert of_the_disk is not None
    assert options.below.way(HOST, "db") == of_the_disk.way(HOST, "db")
    assert options == parse(text.replace("tape", "disk"), tmp_path).scsi_options(HOST)
    assert options != parse(text.replace("4096", "8192"), tmp_path).scsi_options(HOST)
    disk = asyncio.run(options.below.open_unit(HOST, "db"))
    asyncio.run(options.open_unit(HOST, "db@1", disk)).close()
    disk.close()


@pytest.mark.parametrize(
    ("unit", "files"),
    [
        ("kind = 'disk', store = {{kind = 'file', path = '{0}/a.tap'}}", {"a.tap": True}),
        (
            "kind = 'disk', read_only = true, store = {{kind = 'file', path = '{0}/a.tap'}}",
            {"a.tap": False},
        ),
        ("kind = 'tape', cartridge = '{0}/a.tap'", {"a.tap": True}),
        ("kind = 'tape', cartridge = '{0}/a.tap', read_only = true", {"a.tap": False}),
        (
            "kind = 'tape', cartridge = '', reservations = '{0}/{{lun}}.reservations'",
            {"lun.reservations": True},
        ),
        ("kind = 'changer', drives = ['lun'], folder = '{0}'", {"a.tap": True}),
    ],
)
def test_the_files_of_a_unit(unit: str, files: dict[str, bool], tmp_path: Path) -> None:
    (tmp_path / "a.tap").write_bytes(bytes(512))
    (tmp_path / "toml").mkdir()
    text = f"[[scsi]]\nlun = 'lun'\nunit = {{{unit.format(tmp_path)}}}"
    if "changer" in unit:
        text = "[[scsi]]\nlun = 'lun'\nunit = {kind = 'tape', cartridge = ''}\n" + text.replace(
            "lun = 'lun'", ""
        )
    options = parse(text, tmp_path / "toml").scsi_options(HOST)
    assert options is not None
    below = (
        [asyncio.run(options.open_unit(HOST, name)) for name in options.stands_on(HOST, "x")]
        if "changer" in unit
        else []
    )
    opened = asyncio.run(options.open_unit(HOST, "x" if below else "lun", *below))
    assert opened.files == {f"{tmp_path}/{name}": written for name, written in files.items()}
    for each in (opened, *below):
        each.close()


@pytest.mark.parametrize(
    ("unit", "complaint"),
    [
        (
            "kind = 'disk', store = {{kind = 'ram', size = 4096}}, snapshots = ['{0}/no_tape']",
            "no_tape: it has other content",
        ),
        ("kind = 'tape', cartridge = '{0}/none.tap'", "tape image .*none.tap: No such file"),
        ("kind = 'tape', cartridge = '{0}/no_tape'", "no_tape is no tape image in SIMH format"),
        ("kind = 'tape', cartridge = '{0}'", "tape image .*: (Is a directory|not a regular file)"),
        ("kind = 'tape'", "p-dev 'lun' is not a file's path"),
        (
            "kind = 'tape', cartridge = '', reservations = '{0}/no_tape'",
            "no_tape is not a file of reservations",
        ),
        (
            "kind = 'tape', cartridge = '', reservations = '{0}/none/{{lun}}'",
            "reservations .*/none/lun: there is no folder .*/none",
        ),
        ("kind = 'tape', cartridge = '', reservations = '{0}'", "reservations .*: Is a directory"),
        ("kind = 'disk', store = {{kind = 'file', path = '{0}/none'}}", "none: no such file"),
    ],
)
def test_a_unit_that_cannot_be_opened(unit: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "no_tape").write_bytes(bytes(range(1, 255)))
    config = parse(f"[[scsi]]\nunit = {{{unit.format(tmp_path)}}}", tmp_path)
    options = config.scsi_options(HOST)
    assert options is not None
    with pytest.raises((UsageError, OSError), match=complaint) as caught:
        asyncio.run(options.open_unit(HOST, "lun"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "p_dev", "file"),
    [
        ("{lun}", "/images/a.img", "/images/a.img"),
        ("", "/images/a.img", "/images/a.img"),
        ("/images/{lun}.img", "a", "/images/a.img"),
        ("/images/{lun}", "../../etc/passwd", "/images/.._.._etc_passwd"),
    ],
)
def test_a_luns_path(path: str, p_dev: str, file: str) -> None:
    assert scsi_units.path_for(path, p_dev) == file


def test_a_p_dev_that_is_no_path() -> None:
    with pytest.raises(UsageError, match="p-dev 'disk' is not a file's path"):
        scsi_units.path_for("{lun}", "disk")


@pytest.mark.parametrize("params", ["", "web.img", "qcow2:/images/web.img", "nbd:host:1"])
def test_what_is_no_file(params: str) -> None:
    with pytest.raises(UsageError, match="not a file's path"):
        asyncio.run(open_disk(DiskConfig(DISK.path, params, "phy")))


def test_size_of_a_ram_disk() -> None:
    with asyncio.run(open_disk(DiskConfig(DISK.path, "1048576", "ram"))) as store:
        assert store.sectors == 2048
    with pytest.raises(UsageError, match="64M"):
        asyncio.run(open_disk(DiskConfig(DISK.path, "64M", "ram")))


def test_names_in_a_path_do_not_lead_elsewhere() -> None:
    disk = DiskConfig(DISK.path, "/a", "", "../../etc/passwd")
    assert path_for("/images/{domid}/{devid}-{name}", disk) == "/images/3/51712-.._.._etc_passwd"


@pytest.mark.parametrize(
    "unit",
    [
        "kind = 'disk', store = {{kind = 'ram', size = 4096}}",
        "kind = 'tape', cartridge = ''",
        "kind = 'changer', drives = ['drive'], folder = '{0}'",
    ],
)
def test_reservations_that_outlive_a_loss_of_power(unit: str, tmp_path: Path) -> None:
    """Of units of all kinds: no journal is there when they are opened again."""
    text = """
        [[scsi]]
        lun = "drive"
        unit = {{kind = "tape", cartridge = ""}}
        [[scsi]]
        unit = {{%s, reservations = "{0}/{{lun}}.reservations"}}
        """
    options = parse((text % unit).format(tmp_path), tmp_path).scsi_options(HOST)
    assert options is not None
    key = bytes(range(8))
    for is_first in (True, False):
        names = options.stands_on(HOST, "unit")
        below = [asyncio.run(options.open_unit(HOST, name)) for name in names]
        opened = asyncio.run(options.open_unit(HOST, "unit", *below))
        initiator = UnitInitiator(opened)
        if is_first:
            reserve_out(initiator, Out.REGISTER, new=int.from_bytes(key), flags=0x01)
        assert key in initiator.good("5e 00 00 00 00 00 00 01 00 00")
        for each in (opened, *below):
            each.close()
