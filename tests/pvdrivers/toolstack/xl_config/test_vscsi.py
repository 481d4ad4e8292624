"""SCSI devices as xend had them."""

import pytest

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.toolstack.xl_config.text import Atom, ConfigError
from pvdrivers.toolstack.xl_config.vscsi import ScsiHostSpec, parse_vscsi


def hosts(*texts: str) -> tuple[ScsiHostSpec, ...]:
    return parse_vscsi(map(Atom.of, texts))


def test_devices_are_luns_of_the_host_that_their_number_begins_with() -> None:
    found = hosts("/dev/sdb, 0:0:0:0", "naa.50014051:1,1:0:0:0,san", "2:0:1:3,0:0:1:0")
    assert found == (
        ScsiHostSpec(
            0,
            (
                LunConfig("/dev/sdb", ScsiAddress(0, 0, 0, 0)),
                LunConfig("2:0:1:3", ScsiAddress(0, 0, 1, 0)),
            ),
        ),
        ScsiHostSpec(1, (LunConfig("naa.50014051:1", ScsiAddress(1, 0, 0, 0)),), "san"),
    )


def test_a_whole_host_has_the_number_that_it_has_behind() -> None:
    found = hosts("3:0:0:0,host", "3:0:0:1,host")
    luns = tuple(LunConfig(f"3:0:0:{lun}", ScsiAddress(3, 0, 0, lun)) for lun in (0, 1))
    assert found == (ScsiHostSpec(3, luns, whole=True),)


def test_what_a_toolstack_writes() -> None:
    (host,) = hosts("disk,2:0:0:0")
    luns = [LunConfig("disk", ScsiAddress(2, 0, 0, 0))]
    assert host.device(5, 1, domain_name="web") == scsi_config(
        2, 5, 1, luns=luns, domain_name="web"
    )
    (whole,) = hosts("3:0:0:0,host")
    assert whole.device(5).backend_keys["feature-host"] == "1"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["/dev/sdb"], "found '/dev/sdb': write PDEV,VDEV or PDEV,VDEV,DOMAIN, where VDEV is"),
        (["a,0:0:0:0,b,c"], "found 'a,0:0:0:0,b,c': write PDEV,VDEV"),
        (["a,"], "found 'a,': write PDEV,VDEV"),
        (["a,sda"], "VDEV: 'sda' is no SCSI address such as 0:0:1:0"),
        (["/dev/sda,host"], "PDEV of a whole host: '/dev/sda' is no SCSI address"),
        (["a,0:0:0:0", "b,0:0:0:0"], "VDEV 0:0:0:0 is there twice in vscsi"),
        (["a,0:0:0:0", "a,0:0:0:1"], "PDEV a is there twice in vscsi"),
        (["a,0:0:0:0", "b,0:0:0:1,san"], "host 0 has devices of different backend domains"),
        (["a,0:0:0:0", "0:0:0:1,host"], "host 0 has devices of different backend domains, or is"),
    ],
)
def test_what_is_wrong_is_said(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        hosts(*texts)
    assert str(error.value).startswith(f"command line:1:1: {message}")
