"""The page stands alone: it is looked at without a network, and years later."""

from html.parser import HTMLParser

import pytest

from pvdrivers.tools.pvbench.__main__ import run
from pvdrivers.tools.pvbench.compare import runner, system
from pvdrivers.tools.pvbench.compare.model import Curve, Need

from .conftest import scripted

pytestmark = pytest.mark.slow

LATENCY = [(300.0, 1.0), (420.0, 50.0), (9000.0, 99.9)]
VOID = {"meta", "path", "use", "rect", "br"}


class Page(HTMLParser):
    """Headings, plots, table cells, and all that a browser would fetch."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.cells, self.fetched = [], [], [], []
        self.plots = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.plots += tag == "svg"
        for name, value in attributes:
            if name.split(":")[-1] in ("src", "href", "data", "action", "srcset"):
                self.fetched.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] == "h2":
            self.headings.append(text)
        if self.open and self.open[-1] == "td":
            self.cells.append(text)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("page")
        return make_page(scripted(monkeypatch, folder), folder)


def make_page(script, folder):
    contender = script.contender
    absent = Need("some-package", lambda setting: "there is no <thing>")
    rate = contender("A", [3e6, 4e6], latency=LATENCY), contender("B", [1e6], latency=LATENCY)
    script.add("rate", *rate, target=2)
    script.add("copies", contender("A", [3e9]), contender("B", [4e9]), unit="bytes/s", target=0.8)
    script.add(
        "slow", contender("A", [900]), contender("B", [300]), unit="ns", target=1.5, sense="<="
    )
    script.add("none", contender("A", [0]), unit="per request", target=0.05, sense="<=")
    script.add("absent", contender("A", [1]), contender("B", [1], [absent]), target=1)
    script.add("parts", contender("A", [900], stages={"ring": 500.0, "copy": 400.0}), unit="ns")
    curve = Curve("guests", "guests", "operations/s", [(1, 100.0), (10, 99.0), (1000, 95.0)])
    script.add("scale", contender("A", [1], curves=[curve]), contender("B", [1], curves=[curve]))
    path, history = folder / "page.html", folder / "history"
    for _ in range(2):
        words = ["--runtime=1ms", "--runs=3", f"--html={path}", f"--history={history}"]
        assert run(["compare", *words]) == 0
    return path.read_text()


def test_every_plot_is_there(page):
    parsed = Page(page)
    assert parsed.open == []
    assert parsed.plots == len(parsed.headings) == 7
    words = "Targets Throughput Bandwidth Latency Cost Scaling History".split()
    assert [heading.split()[0] for heading in parsed.headings] == words


def test_the_page_needs_no_other_file(page):
    assert "http" not in page
    assert "@import" not in page
    assert page.count("url(") == page.count("url(#")
    assert "<script" not in page
    assert [target for target in Page(page).fetched if not target.startswith("#")] == []


def test_every_row_is_in_the_table(page):
    cells = Page(page).cells
    for name in ("rate", "copies", "slow", "none", "absent", "parts", "scale"):
        assert name in cells
    assert "not measured: there is no <thing> (Debian package some-package)" in cells
    assert "4 M/s" in cells
    assert "no" in cells


def test_each_row_says_what_it_is_for(script, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "purpose", lambda name: f"The point of <{name}>.")
    script.add("one", script.contender("A", [1]))
    path = tmp_path / "page.html"
    assert run(["compare", "--runtime=1ms", "--runs=1", f"--html={path}"]) == 0
    assert "The point of <one>." in Page(path.read_text()).cells


def test_a_busy_machine_is_told_at_the_top(script, tmp_path, monkeypatch):
    script.add("one", script.contender("A", [2, 100]), script.contender("B", [1]), target=1)
    path = tmp_path / "page.html"
    assert run(["compare", "--runtime=1ms", "--runs=3", f"--html={path}"]) == 0
    text = path.read_text()
    assert "the runs are far apart: one" in text
    assert text.index("far apart") < text.index("<table>")
    assert "unknown" in Page(text).cells


def test_latencies_are_drawn_of_like_with_like(script, tmp_path):
    script.add("alone", script.contender("A", [1], latency=LATENCY), script.contender("B", [1]))
    path = tmp_path / "page.html"
    words = ["compare", "--runtime=1ms", "--runs=1", f"--html={path}"]
    assert run(words) == 0
    assert "Latency" not in Page(path.read_text()).headings
    both = [script.contender(name, [1], latency=LATENCY) for name in "AB"]
    script.add("both", *both)
    assert run(words) == 0
    assert "Latency" in Page(path.read_text()).headings


def test_the_machine_is_named(page):
    assert f"<p>{system.sentence(system.this_system([]))}</p>" in page


def test_a_plot_without_data_is_left_out(script, tmp_path, capsys):
    script.add("one", script.contender("A", [1]))
    path = tmp_path / "page.html"
    assert run(["compare", "--runtime=1ms", "--runs=1", f"--html={path}"]) == 0
    assert capsys.readouterr().err == f"one: 1/s\nThe page is {path}\n"
    assert Page(path.read_text()).plots == 0
