"""Every link between pages leads to a file that is there, and to a heading that is in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CODE = re.compile(r"^(```+).*?^\1$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z]+:")


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as repository browsers and the site derive them."""
    text = re.sub(r"^(```+).*?^\1$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in HEADING.findall(text)}


def broken(page: Path) -> list[str]:
    links = LINK.findall(CODE.sub("", page.read_text()))
    found = []
    for link in links:
        if ELSEWHERE.match(link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def test_there_are_pages() -> None:
    assert len(PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_the_site_has_every_page_once() -> None:
    index = ROOT / "docs" / "index.md"
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", index.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for tree in trees for line in tree.splitlines()]
    listed = [f"{line}.md" for line in lines if line and not line.startswith(":")]
    assert sorted((index.parent / page).resolve() for page in listed) == sorted({*PAGES} - {index})


@pytest.mark.parametrize("link", ["nowhere.md", "ring.md#nothing", "#nothing", "/ring.md"])
def test_a_broken_link_is_found(link: str, tmp_path: Path) -> None:
    (tmp_path / "ring.md").write_text("# A heading: of `words`")
    page = tmp_path / "page.md"
    page.write_text(f"[here](ring.md#a-heading-of-words) and [there]({link}), no `[link](link)`")
    assert broken(page) == [link]
