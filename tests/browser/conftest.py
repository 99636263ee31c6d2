from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_triton.ledger import Ledger
from pytest_triton.reports.html import html
from support.chromium import Browser


@pytest.fixture(scope="session")
def _browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def browser(_browser: Browser) -> Browser:
    """The session's browser, as wide as a laptop's screen, in light colours."""
    _browser.look(width=1300)
    _browser.errors.clear()
    return _browser


Show = Callable[..., Path]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Show:
    """Shows the page of a ledger."""

    def show(ledger: Ledger, fragment: str = "") -> Path:
        page = tmp_path / "report.html"
        page.write_text(html(ledger), encoding="utf-8")
        browser.open(page, fragment)
        return page

    return show
