"""An uplink that frames come from without end."""

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import created
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.tools.pvbench.vnif.job import MACS, VnifJob
from pvdrivers.vnif.mac import parse_mac
from pvdrivers.vnif.packet import packet_pool


class SourceUplink(Uplink):
    """Sends a job's guest what its peer would."""

    def __init__(self, job: VnifJob) -> None:
        config = {
            "pool": packet_pool(),
            "queues": job.queues,
            "source": list(parse_mac(MACS["peer"])),
            "destination": list(parse_mac(MACS["guest"])),
            "size": job.frame_size,
            "rate": job.rate,
        }
        source = lib.pv_packet_source_create(ffi.new("struct pv_packet_source_config *", config))
        super().__init__(created(source, "packet source"))
