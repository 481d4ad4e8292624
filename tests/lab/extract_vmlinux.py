"""Takes the uncompressed kernel out of a bzImage: Xen need not decompress it under emulation.

Usage: extract_vmlinux.py BZIMAGE OUTPUT
"""

import lzma
import struct
import sys
from pathlib import Path

SETUP_SECTORS = 0x1F1  # offsets in the boot protocol's header (Documentation/arch/x86/boot.rst)
PAYLOAD_OFFSET = 0x248


def extract(image: bytes) -> bytes:
    """The ELF file inside; SystemExit when it is not packed with xz."""
    start = (image[SETUP_SECTORS] + 1) * 512
    offset, length = struct.unpack_from("<II", image, PAYLOAD_OFFSET)
    payload = image[start + offset : start + offset + length]
    if not payload.startswith(lzma_magic := b"\xfd7zXZ\0"):
        sys.exit(f"the kernel's payload does not start with {lzma_magic!r}")
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(payload)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(extract(Path(sys.argv[1]).read_bytes()))
