"""What holds for any bytes that are read as a configuration of xl."""

import json
import re

from pvdrivers.ring.errors import UsageError
from pvdrivers.toolstack.xl_config.domain import DomainSpec
from pvdrivers.toolstack.xl_config.libxl_json import to_libxl
from pvdrivers.toolstack.xl_config.reader import parse_config
from pvdrivers.toolstack.xl_config.text import ConfigError

PLACE = re.compile(r"file:\d+:\d+: .")


def take_or_refuse(data: bytes) -> DomainSpec | None:
    """The configuration; None: it is refused. AssertionError: it is refused with something else
    than one sentence about a place of the file, or what is taken cannot be told or used."""
    try:
        spec = parse_config(data, "file")
    except ConfigError as error:
        _check_sentence(str(error))
        lines = data.decode(errors="surrogateescape").split("\n")
        assert 1 <= error.place.line <= len(lines)
        assert 1 <= error.place.column <= len(lines[error.place.line - 1]) + 1
        return None
    for note in spec.notes:
        _check_sentence(note)
    assert json.loads(json.dumps(to_libxl(spec, [(0, 1), (2, 3)])))
    for device in spec.devices:
        try:
            assert device.device(1, domain_name=spec.name).backend_keys
        except UsageError as error:
            assert str(error).isprintable()
    return spec


def _check_sentence(text: str) -> None:
    assert PLACE.match(text)
    assert text.isprintable()
    assert len(text) < 400
