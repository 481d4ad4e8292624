"""What every device class is measured with knows none of them."""

import ast
from pathlib import Path

import pytest

from pvdrivers.tools import pvbench

FOLDER = Path(pvbench.__file__).parent


@pytest.mark.parametrize("shared", ["job", "report"])
def test_imports_no_class(shared):
    paths = list((FOLDER / shared).glob("*.py"))
    assert len(paths) > 3
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            assert "vbd" not in module.split("."), f"{path.name} imports {module}"
