"""docs/vnif.md's examples run as a reader runs them."""

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "vnif.md"
BLOCKS = re.findall(r"^```python test_network.py\n(.*?)^```$", PAGE.read_text(), re.S | re.M)


@pytest.mark.slow
def test_the_page_runs(pytester: pytest.Pytester) -> None:
    (pytester.path / "test_network.py").write_text("\n".join(BLOCKS))
    run = pytester.runpytest_subprocess("test_network.py", "--timeout=120")
    run.assert_outcomes(passed=4 + 3 + 1 + 1)
