"""What is behind a disk that is measured."""

import os

from pvdrivers._core import ffi, lib
from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.ring.abi import SECTOR
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio.job import StoreSpec

STORE_THREADS = 4  # at most, of a store that has any


def open_store(store: StoreSpec) -> BlockStore:
    """A store in C as backends take it. Raises OptionError when its file cannot be used."""
    sectors = store.size // SECTOR
    if store.kind == "null":
        opened = lib.pv_null_store_create(sectors, store.sector_size, True)
    elif store.kind == "ram":
        opened = lib.pv_ram_store_create(sectors, store.sector_size)
    else:
        assert store.path
        path = ffi.new("char[]", os.fsencode(store.path))
        config = ffi.new("struct pv_file_store_config *")
        config.path, config.sector_size = path, store.sector_size
        config.threads = STORE_THREADS
        config.direct, config.read_only = store.direct, store.read_only
        opened = lib.pv_file_store_create(config)
    if opened == ffi.NULL:
        name = store.path or f"the {store.kind} store"
        raise OptionError(f"{name} cannot be opened: {os.strerror(ffi.errno)}")
    return BlockStore(opened)
