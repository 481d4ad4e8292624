"""What a call is refused with."""

from collections.abc import Callable

import pytest

from pvdrivers.sim import MachineError


def error_of(call: Callable[..., object], *arguments: object, **options: object) -> int:
    """The errno of its MachineError."""
    with pytest.raises(MachineError) as refused:
        call(*arguments, **options)
    return refused.value.errno or 0
