"""The citizens' page, served, in a real browser."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from services.public_site import Site

from hub.serve import serve

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium once."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Serve an empty public directory."""
    served = Site(tmp_path / "public")
    stop, ready = threading.Event(), threading.Event()

    def tell(url: str) -> None:
        served.url = url
        ready.set()

    thread = threading.Thread(
        target=serve,
        args=(served.public,),
        kwargs={"address": "127.0.0.1", "port": 0, "stop": stop, "ready": tell},
    )
    thread.start()
    assert ready.wait(10)
    yield served
    stop.set()
    thread.join(10)


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """Open a phone; any error in the console or request to elsewhere fails the test."""
    context = browser.new_context(viewport={"width": 360, "height": 740})
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda request: elsewhere(request.url, site.url, errors))
    yield opened
    context.close()
    assert errors == []


def elsewhere(url: str, home: str, errors: list[str]) -> None:
    if not url.startswith(home):
        errors.append(f"request to {url}")
