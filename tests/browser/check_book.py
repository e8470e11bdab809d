"""The finished book in a real browser: run by hand, and by tests/test_book.py where all it needs is there.

    make book && python tests/browser/check_book.py runs/book [SCREENSHOTS]

Needs a Chromium on the PATH (or its path in ``CHROMIUM``) and the package ``playwright``. Every page is opened at 1280
and 390 pixels: no console error, nothing missing or fetched from elsewhere, no broken link or anchor, every equation
set, every player decoded and playing, nothing wider than the screen, and a search that finds. With a second folder it
leaves pictures of the top of every page there, light and dark.
"""

import html
import http.server
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote, unquote, urldefrag, urljoin

from playwright.sync_api import Page, TimeoutError, sync_playwright

MODULE = "code/octavoice."
WIDTHS = {1280: 900, 390: 844}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]
FACTS = """async () => {
    await (window.MathJax?.startup?.promise ?? Promise.resolve());
    const all = selector => [...document.querySelectorAll(selector)];
    return {
        links: all("a[href]").map(a => a.href),
        equations: all(".math").length, set: all("mjx-container").length, failed: all("mjx-merror").length,
        pictures: all("img").filter(i => !(i.loading == "lazy") && !(i.complete && i.naturalWidth)).map(i => i.src),
        players: all("audio").length,
        overflow: Math.max(0, document.documentElement.scrollWidth - window.innerWidth),
    }}"""
PLAY = """async player => {
    player.muted = true;
    try { await player.play(); } catch { return false; }
    const began = performance.now();
    while (player.currentTime == 0 && performance.now() - began < 60000)
        await new Promise(done => setTimeout(done, 50));
    player.pause();
    return player.currentTime > 0 && player.duration > 1 && !player.error;
}"""


def chromium() -> str | None:
    """The browser's path, if there is one."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The site behind an address of this machine."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


@contextmanager
def browser() -> Iterator[Page]:
    """A page of a headless browser with an empty profile of its own."""
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as engine:
        context = engine.chromium.launch_persistent_context(profile, executable_path=chromium(), headless=True,
                                                            args=FLAGS)
        context.set_default_timeout(300_000)
        yield context.new_page()
        context.close()


def visit(page: Page, base: str, name: str, play: bool) -> tuple[dict, list[str]]:
    """Open a page: what it holds, and its faults in words. ``play`` plays its players too."""
    faults = []
    listeners = {"console": lambda m: faults.append(f"console: {m.text}") if m.type == "error" else None,
                 "pageerror": lambda error: faults.append(f"script: {error}"),
                 "requestfailed": lambda request: faults.append(f"not loaded: {request.url}"),
                 "response": lambda r: faults.append(f"{r.status}: {r.url}") if r.status >= 400 else None,
                 "request": lambda request: None if request.url.startswith((base, "data:", "blob:")) else
                 faults.append(f"asks elsewhere: {request.url}")}
    for event, listener in listeners.items():
        page.on(event, listener)
    page.goto(base + name, wait_until="load")
    facts = page.evaluate(FACTS)
    faults += [f"picture not shown: {source[:80]}" for source in facts["pictures"]]
    faults += ["an equation is not set"] * (facts["set"] < facts["equations"] or facts["failed"] > 0)
    faults += [f"{facts['overflow']} pixels wider than the screen"] * (facts["overflow"] > 1)
    if play:
        for number, player in enumerate(page.query_selector_all("audio"), 1):
            faults += [] if player.evaluate(PLAY) else [f"player {number} does not play"]
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    return facts, faults


def broken(site: Path, base: str, found: dict[str, dict]) -> Iterator[tuple[str, str]]:
    """Links that lead nowhere: ``(page, link)``. Other sites are not asked."""
    for name, facts in found.items():
        for link in set(facts["links"]):
            target, anchor = urldefrag(urljoin(base + name, link))
            path = unquote(target.removeprefix(base)) or "index.html"
            if not target.startswith(base):
                continue
            if not (site / path).exists() or (anchor and unquote(anchor) not in anchors(site / path)):
                yield name, link.removeprefix(base)


@cache
def anchors(page: Path) -> set[str]:
    """Every anchor of a page of the site."""
    return {html.unescape(found) for found in re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8"))}


def pages(site: Path, modules: int | None = None) -> list[str]:
    """Every page by name; of the pages that show a module's code, which are made alike, only so many."""
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    code = [name for name in names if name.startswith(MODULE)]
    return [name for name in names if not name.startswith(MODULE)] + code[:modules]


def check(site: Path, pictures: Path | None = None, names: list[str] | None = None) -> list[str]:
    """Every fault of a built site in words, an empty list if there is none."""
    names = names or pages(site)
    faults, found = [], {}
    with served(site) as base, browser() as page:
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            for name in names:
                found[name], wrong = visit(page, base, name, play=width == max(WIDTHS))
                faults += [f"{name} at {width}: {fault}" for fault in wrong]
                if pictures and not name.startswith(MODULE):
                    shoot(page, pictures, f"{Path(name).with_suffix('').as_posix().replace('/', '_')}_{width}")
        faults += [f"{name}: broken link {link}" for name, link in broken(site, base, found)]
        faults += searched(page, base, "octave compression")
    return faults


def searched(page: Page, base: str, words: str) -> list[str]:
    """A fault if the search page finds nothing for ``words``."""
    page.goto(f"{base}search.html?q={quote(words)}")
    try:
        page.wait_for_selector("#search-results li a", timeout=60_000)
    except TimeoutError:
        return [f"the search finds nothing for {words!r}"]
    return []


def shoot(page: Page, pictures: Path, name: str) -> None:
    """Pictures of what is on the screen, light and dark."""
    pictures.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=pictures / f"{name}_{scheme}.png")
    page.emulate_media(color_scheme="light")


if __name__ == "__main__":
    wrong = check(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None, sys.argv[3:])
    print("\n".join(wrong) or "nothing wrong")
    sys.exit(bool(wrong))
