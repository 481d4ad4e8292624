"""Comparisons of known outcome, in the place of those that take minutes."""

import itertools

import pytest

from pvdrivers.tools.pvbench.compare import command, load, model, runner


class Script:
    """Contenders that give values in order, and what was measured when."""

    def __init__(self):
        self.order = []
        self.comparisons = {}

    def contender(self, name, values, needs=(), **extras):
        source = itertools.cycle(values)

        def measure(setting):
            self.order.append(name)
            value = next(source)
            if isinstance(value, Exception):
                raise value
            return model.Measured(float(value), **extras)

        return model.Contender(name, measure, needs)

    def add(self, row, ours, baseline=None, **options):
        options = {"workload": f"the work of {row}", "unit": "operations/s"} | options
        self.comparisons[row] = model.Comparison(ours=ours, baseline=baseline, **options)


def scripted(monkeypatch, memory):
    """The comparisons that are measured until `monkeypatch` is undone."""
    script = Script()
    monkeypatch.setattr(runner, "catalogue", lambda: script.comparisons)
    monkeypatch.setattr(load, "QUIET_SHARE", float("inf"))  # whatever else runs here
    monkeypatch.setattr(command.scratch, "FILE_SIZE", 1 << 20)
    monkeypatch.setattr(command.scratch, "MEMORY", memory)
    return script


@pytest.fixture
def script(monkeypatch, tmp_path):
    return scripted(monkeypatch, tmp_path)
