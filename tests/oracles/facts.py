"""What a target tells of itself, as rows of docs/measurements/scsi-oracles.md."""

from __future__ import annotations

from collections.abc import Mapping

from outcome import Outcome

VERSIONS = {5: "SPC-3", 6: "SPC-4", 7: "SPC-5"}
ALUA = ("", "implicit", "explicit", "implicit and explicit")
LONGEST = (1 << 32) - 1


def facts(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    inquiry = outcomes["INQUIRY"].data
    limits = outcomes["INQUIRY, page B0"].data
    provisioning = outcomes["INQUIRY, page B2"].data
    commands = outcomes["REPORT SUPPORTED OPERATION CODES"].data
    blocks = int.from_bytes(limits[20:24], "big")
    return {
        "version": VERSIONS[inquiry[2]],
        "ALUA (TPGS)": ALUA[inquiry[5] >> 4 & 3],
        "copies (3PC)": "yes" if inquiry[5] & 0x08 else "",
        "VPD pages beside 00": _hex(_vpd_pages(outcomes["INQUIRY, page 00"].data)),
        "longest transfer, blocks": str(int.from_bytes(limits[8:12], "big")),
        "COMPARE AND WRITE, blocks": str(limits[5] or "not told"),
        "UNMAP, blocks and descriptors": (
            f"{'any' if blocks == LONGEST else blocks}, {int.from_bytes(limits[24:28], 'big')}"
        ),
        "WRITE SAME, blocks": str(int.from_bytes(limits[36:44], "big")),
        "unmapped blocks read as zeros (LBPRZ)": "yes" if provisioning[5] & 0x04 else "no",
        "mode pages": _hex(_mode_pages(outcomes["MODE SENSE(6), page 3F"].data)),
        "commands that it reports": str(int.from_bytes(commands[:4], "big") // 8 or "none"),
        "types of reservations": _hex(
            _types(outcomes["PERSISTENT RESERVE IN, REPORT CAPABILITIES"].data)
        ),
    }


def _hex(numbers: list[int]) -> str:
    return bytes(numbers).hex(" ").upper()


def _vpd_pages(data: bytes) -> list[int]:
    return [page for page in data[4:][: data[3]] if page]


def _mode_pages(data: bytes) -> list[int]:
    """Without subpages."""
    pages, place = [], 4 + data[3]
    while place < min(data[0] + 1, len(data)):
        pages.append(data[place] & 0x3F)
        place += 2 + data[place + 1]
    return pages


def _types(data: bytes) -> list[int]:
    """Of PERSISTENT RESERVE: type n has bit n of the mask, whose first byte is the lower one."""
    mask = int.from_bytes(data[5:6] + data[4:5], "big") if len(data) >= 6 else 0
    return [kind for kind in range(16) if mask >> kind & 1]
