"""A cartridge: an image for each of its partitions.

The file that gives the cartridge its name is partition 0. With a second one there are two more
files: NAME.partition-1 is its image, and NAME.partitions has the bytes of both, as a list in JSON.
Without such a list a cartridge has one partition, as long as its drive says.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pvdrivers.backends.targets.durable_file import DurableFile
from pvdrivers.backends.targets.tape.image import TapeImage
from pvdrivers.ring.errors import UsageError

SMALLEST_PARTITION = 1 << 16  # bytes
MOST_PARTITIONS = 2


class Volume:
    """`images` and their `sizes`, in bytes at most, in the order of partitions."""

    def __init__(self, path: Path, size: int, *, read_only: bool = False) -> None:
        """`size`: if there is one partition. UsageError: a file cannot be opened, or its content is
        not what it should be."""
        self.path = path
        self._second = path.with_name(path.name + ".partition-1")
        self._layout = DurableFile(path.with_name(path.name + ".partitions"))
        self.sizes = self._read_layout() or [size]
        self.images: list[TapeImage] = []
        try:
            for image in (path, self._second)[: len(self.sizes)]:
                self.images.append(TapeImage.open(image, read_only=read_only))
        except UsageError:
            self.close()
            raise

    def _read_layout(self) -> list[int]:
        try:
            content = self._layout.read()
            sizes = msgspec.json.decode(content, type=list[int]) if content else []
        except (OSError, msgspec.MsgspecError) as error:
            raise UsageError(f"partitions of a tape, {self._layout.path}: {error}") from error
        if sizes and (len(sizes) != MOST_PARTITIONS or min(sizes) < SMALLEST_PARTITION):
            raise UsageError(
                f"partitions of a tape, {self._layout.path}: two numbers of bytes are expected, of"
                f" at least {SMALLEST_PARTITION}"
            )
        return sizes

    @property
    def read_only(self) -> bool:
        return any(image.read_only for image in self.images)

    def format(self, sizes: list[int]) -> None:
        """One or two blank partitions. A process that is killed meanwhile leaves one, blank or as
        it was, and so does OSError."""
        self._layout.write(b"")
        for image in self.images[1:]:
            image.close()
        self.images, self.sizes = self.images[:1], [sum(sizes)]
        self.images[0].cut(0)
        if len(sizes) == 1:
            self._second.unlink(missing_ok=True)
            return
        self._second.write_bytes(b"")
        second = TapeImage.open(self._second)
        try:
            self._layout.write(msgspec.json.encode(sizes))
        except OSError:
            second.close()
            raise
        self.images.append(second)
        self.sizes = sizes

    def flush(self) -> None:
        """As that of an image."""
        for image in self.images:
            image.flush()

    def close(self) -> None:
        for image in self.images:
            image.close()

    def __repr__(self) -> str:
        return f"<Volume {self.path}{', read-only' if self.read_only else ''}>"
