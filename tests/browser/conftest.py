"""One JupyterLab and one Chromium per worker; each module has a folder and a notebook in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from support.browser import Lab, chromium, jupyter_lab

LONGEST = ("test_lab_hostile.py", "test_notebooks.py", "test_report_page.py", "test_lab_compare.py")
"""The modules to begin with, so that no worker is left alone with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that take longest; otherwise keep the order."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyter_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def context(browser: Browser) -> BrowserContext:
    """The browser's context for JupyterLab, whose files it keeps from one page to the next."""
    context = browser.new_context()
    context.set_default_timeout(90_000)  # the machine may be busy
    return context


@pytest.fixture(scope="module")
def folder(lab: Lab, request: pytest.FixtureRequest) -> Path:
    """An empty folder of JupyterLab for the notebooks of this module."""
    return lab.make_folder(Path(request.module.__file__).stem)
