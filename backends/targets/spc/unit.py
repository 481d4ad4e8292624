"""A unit with all that SPC-4 asks of every device type."""

from __future__ import annotations

from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.spc.inquiry import Inquiry
from pvdrivers.backends.targets.spc.log import Log
from pvdrivers.backends.targets.spc.mode import ModePages
from pvdrivers.backends.targets.spc.operation_codes import OperationCodes
from pvdrivers.backends.targets.spc.persistent_reserve import PersistentReserve
from pvdrivers.backends.targets.spc.state import State


class PrimaryUnit(Inquiry, State, ModePages, Log, OperationCodes, PersistentReserve):
    """A subclass says what it is and adds its commands, its pages and its state:

    * `device_type`, `standards`, `removable`; marked methods for commands;
    * `vpd_pages`, `mode_pages`, `log_pages`: with those of `super()`;
    * `condition` and `write_protection`: why a command that `needs` the unit READY or WRITABLE
      ends with CHECK CONDITION now.

    A command of this class that a device type does not have is left out by
    `self.operations = self.operations.without(...)`.
    """

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self.identity = identity
