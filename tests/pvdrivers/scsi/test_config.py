"""What a toolstack writes for a virtual SCSI host."""

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.scsi.keys import lun_key_names, read_feature_host, read_luns
from pvdrivers.xenbus.states import XenbusState


def test_a_host_without_luns() -> None:
    config = scsi_config(0, 7, 1)
    assert config.backend_path == "/local/domain/1/backend/vscsi/7/0"
    assert config.frontend_path == "/local/domain/7/device/vscsi/0"
    assert config.backend_keys == {"feature-host": "0"}
    assert config.frontend_keys == {}


def test_luns_as_libxl_writes_them() -> None:
    luns = [
        LunConfig("0:0:1:0", ScsiAddress(0, 0, 0, 0), "/dev/sg1"),
        LunConfig("tape", ScsiAddress(0, 0, 1, 0)),
    ]
    config = scsi_config(2, 7, luns=luns, feature_host=True, domain_name="web")
    assert config.backend_keys == {
        "feature-host": "1",
        "domain": "web",
        "vscsi-devs/dev-0/p-dev": "0:0:1:0",
        "vscsi-devs/dev-0/p-devname": "/dev/sg1",
        "vscsi-devs/dev-0/v-dev": "0:0:0:0",
        "vscsi-devs/dev-0/state": "1",
        "vscsi-devs/dev-1/p-dev": "tape",
        "vscsi-devs/dev-1/p-devname": "tape",
        "vscsi-devs/dev-1/v-dev": "0:0:1:0",
        "vscsi-devs/dev-1/state": "1",
    }
    assert read_feature_host(config.backend_keys)
    first, second = read_luns(config.backend_keys, ["dev-0", "dev-1"])
    assert set(lun_key_names(["dev-0"])) <= set(config.backend_keys)
    assert (first.p_dev, first.state) == ("0:0:1:0", XenbusState.INITIALISING)
    assert second.v_dev == ScsiAddress(0, 0, 1, 0)
