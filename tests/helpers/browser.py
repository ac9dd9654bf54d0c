"""A page opened in headless Chromium: what its players load and what it complains about."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
TIMEOUT = 180_000  # milliseconds: a loaded machine opens a page with many players slowly
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BAD = {"error", "warning"}  # kinds of console messages
# Loads the players one after the other (a browser has only so many open at once), and reports
# what became of each.
LOAD_PLAYERS = """
async () => {
  const reports = [];
  for (const player of document.querySelectorAll("audio")) {
    await new Promise((done) => {
      player.addEventListener("canplaythrough", done);
      player.addEventListener("error", done);
      setTimeout(done, 60000);
      player.preload = "auto";
      player.load();
    });
    reports.push({
      source: player.src,
      label: player.getAttribute("aria-label"),
      controls: player.controls,
      ready: player.readyState,
      seconds: player.duration,
      error: player.error && player.error.message,
    });
  }
  return reports;
}
"""


@dataclass
class Visit:
    """What a visit to a page has shown."""

    players: list[dict[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)  # console errors, failed requests
    requested: list[str] = field(default_factory=list)  # every address that was asked for


def chromium() -> str:
    """The path of a system Chromium.

    Without one the test is skipped, or fails where the environment variable CI is set.
    """
    path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if path is None:
        reason = f"no Chromium on this machine (looked for {', '.join(BROWSERS)})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@contextmanager
def opened(
    page: Path | str, width: int = 1280, height: int = 900, dark: bool = False
) -> Iterator[Any]:
    """A file or an address in headless Chromium: a playwright page whose `visit` is a `Visit`."""
    executable = chromium()
    if os.environ.get("CI"):
        from playwright.sync_api import sync_playwright
    else:
        reason = "needs the playwright package"
        sync_playwright = pytest.importorskip("playwright.sync_api", reason=reason).sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=FLAGS, timeout=TIMEOUT
        )
        tab = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
        )
        tab.set_default_timeout(TIMEOUT)
        tab.visit = visit = Visit()
        tab.on(
            "console", lambda m: m.type in {"error", "warning"} and visit.complaints.append(m.text)
        )
        tab.on("pageerror", lambda error: visit.complaints.append(str(error)))
        # A player aborts the request that it no longer needs; its errors are asked of it itself.
        tab.on(
            "requestfailed",
            lambda r: (
                (r.resource_type, r.failure) != ("media", "net::ERR_ABORTED")
                and visit.complaints.append(f"{r.url}: {r.failure}")
            ),
        )
        tab.on("request", lambda request: visit.requested.append(request.url))
        tab.goto(page if isinstance(page, str) else page.resolve().as_uri())
        yield tab
        browser.close()


def check_page(page: Path, players: int | None = None, screenshot: Path | None = None) -> Visit:
    """Open a results page and check that it is whole.

    Every player's file exists inside the page's folder and loads with a duration; nothing is
    asked for outside the folder; the console stays silent; the page is not wider than a phone.

    Args:
        page: `index.html`.
        players: how many players there must be; None: at least one.
        screenshot: where to keep a picture of the whole page.
    """
    folder = page.resolve().parent
    with opened(page) as tab:
        visit: Visit = tab.visit
        visit.players = tab.evaluate(LOAD_PLAYERS)
        if screenshot:
            tab.screenshot(path=screenshot, full_page=True)
        tab.set_viewport_size({"width": 360, "height": 740})
        overhang = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        ids = tab.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert not visit.complaints
    assert visit.players
    assert players is None or len(visit.players) == players
    for player in visit.players:
        file = Path(unquote(urlparse(player["source"]).path))
        assert file.is_file(), player
        assert folder in file.parents, player
        assert player["error"] is None, player
        assert player["ready"] >= 1, player
        assert player["seconds"] > 0, player
        assert player["controls"], player
        assert player["label"], player
    assert all(_inside(address, folder) for address in visit.requested), visit.requested
    assert overhang <= 0
    assert ids
    return visit


def _inside(address: str, folder: Path) -> bool:
    """Whether an address is part of the page's folder, or of the page itself."""
    url = urlparse(address)
    if url.scheme == "data":
        return True
    return url.scheme == "file" and folder in Path(unquote(url.path)).parents
