"""Tests that every link of every page leads to a file and a heading of this repository, or to an address of the web."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import ROOT
from tests.docs.pages import PAGES

DOCUMENTS = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "outputs" / "README.md"]


def links_of(page: Path) -> list[str]:
    """Return the targets of all links and pictures outside of code."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"(`+).+?\1", "code", text)
    return re.findall(r"\]\(\s*<?([^)>\s]+)", text)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of all headings, as GitHub and MyST make them."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    named = re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain} | set(named)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links_of(page):
        parts = urlsplit(link)
        if parts.scheme:
            is_good = parts.scheme == "https" and "." in parts.netloc
        else:
            target = (page.parent / parts.path).resolve() if parts.path else page
            is_good = target.exists() and (not parts.fragment or parts.fragment in anchors_of(target))
        if not is_good:
            broken.append(link)
    assert broken == []
