"""What every device class is measured with knows none of them."""

import ast
from pathlib import Path

import pytest

from pvdrivers.tools import pvbench

FOLDER = Path(pvbench.__file__).parent
CLASSES = {"vbd", "vnif"}


@pytest.mark.parametrize("shared", ["job", "report", "fio"])
def test_imports_no_class(shared):
    paths = list((FOLDER / shared).glob("*.py"))
    assert len(paths) > 2
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            assert not CLASSES & set(module.split(".")), f"{path.name} imports {module}"
