"""Drives Chromium through its debugging pipe: pages from files, keys, screenshots, what went wrong.

Only the standard library; about what the tests and `scripts/screenshots.py` need, no more.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_TALLEST = 6000  # pixels of a screenshot
KEYS = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    " ": (32, " "),
    "ArrowLeft": (37, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
}


class BrowserError(Exception):
    """A script in the page failed, or the browser did not answer."""


class Browser:
    """A running Chromium; commands go to one page at a time."""

    def __init__(self, process: subprocess.Popen[bytes], inlet: int, outlet: int) -> None:
        self.process = process
        self._inlet, self._outlet = inlet, outlet
        self._rest = b""
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **values: Any) -> Any:
        """Return the browser's answer to a command of the DevTools protocol."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": values}
        if session:
            message["sessionId"] = session
        os.write(self._inlet, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            reply = self._read(deadline)
            if reply.get("id") == number:
                if "error" in reply:
                    raise BrowserError(f"{method}: {reply['error']}")
                return reply["result"]
            self.events.append(reply)

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._outlet], [], [], max(0, deadline - time.monotonic()))
            part = os.read(self._outlet, 1 << 20) if ready else b""
            if not part:
                raise BrowserError("the browser does not answer")
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        reply: dict[str, Any] = json.loads(text)
        return reply

    def open(self, path: Path, place: str = "", **look: Any) -> Page:
        """Return a page that shows a file; `look` is that of `Page.look_like`."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        page.look_like(**look)
        page.go(path.as_uri() + place)
        return page


class Page:
    """One page with what it complained of and what it asked for."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self.browser, self.session, self.target = browser, session, target

    def send(self, method: str, **values: Any) -> Any:
        """Return the answer to a command about this page."""
        return self.browser.send(method, self.session, **values)

    def go(self, address: str) -> None:
        """Open an address and wait until its scripts have run."""
        self.send("Page.navigate", url=address)
        self.run(
            "await new Promise((done) => document.readyState === 'complete'"
            " ? done() : addEventListener('load', done))"
        )

    def wait_for(self, event: str, times: int = 1) -> None:
        """Wait until the page has reported an event so many times."""
        deadline = time.monotonic() + 30
        while sum(entry["method"] == event for entry in self._events()) < times:
            if time.monotonic() > deadline:
                raise BrowserError(f"{event} did not come")
            time.sleep(0.02)
            self.send("Page.getLayoutMetrics")

    def _events(self) -> list[dict[str, Any]]:
        return [event for event in self.browser.events if event.get("sessionId") == self.session]

    def look_like(
        self, width: int = 1440, height: int = 900, *, dark: bool = False, media: str = ""
    ) -> None:
        """Set the window's size in CSS pixels, light or dark, and screen or print."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=media, features=[feature])

    def run(self, script: str) -> Any:
        """Return what the body of an async function gives inside the page."""
        body = script if "return" in script else f"{script};"
        outcome = self.send(
            "Runtime.evaluate",
            expression=f"(async () => {{ {body} }})()",
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in outcome:
            raise BrowserError(str(outcome["exceptionDetails"].get("exception", outcome))[:800])
        return outcome["result"].get("value")

    def value(self, expression: str) -> Any:
        """Return the value of an expression inside the page."""
        return self.run(f"return ({expression});")

    def to_front(self) -> None:
        """Show the page: one behind another is not drawn, and does not hear of its new size."""
        self.send("Page.bringToFront")

    def press(self, key: str, times: int = 1, modifiers: int = 0) -> None:
        """Press a key as a keyboard does; 8 among the modifiers is Shift."""
        code, text = KEYS[key]
        about: Mapping[str, Any] = {
            "key": key,
            "code": "Space" if key == " " else key,
            "windowsVirtualKeyCode": code,
            "modifiers": modifiers,
        }
        for _ in range(times):
            more = {"text": text} if text else {}
            self.send("Input.dispatchKeyEvent", type="keyDown", **about, **more)
            self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what the page looks like as PNG."""
        clip = {}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            height = min(size["height"], _TALLEST)
            clip = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1}}
        shot = self.send(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole, **clip
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """Return what printing the page gives."""
        printed = self.send(
            "Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.7
        )
        return base64.b64decode(printed["data"])

    def _mine(self) -> Iterator[dict[str, Any]]:
        self.run("await new Promise((done) => setTimeout(done, 20))")
        yield from self._events()

    def complaints(self) -> list[str]:
        """Return errors and warnings of the console, blocked things and exceptions."""
        complaints = []
        for event in self._mine():
            about = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                complaints.append(str(about["exceptionDetails"])[:300])
            elif event["method"] == "Log.entryAdded" and about["entry"]["level"] != "verbose":
                complaints.append(about["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled":
                complaints.append(str(about["args"])[:300])
        return complaints

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for."""
        sent = (e for e in self._mine() if e["method"] == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def close(self) -> None:
        """Close the page."""
        self.browser.send("Target.closeTarget", targetId=self.target)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser, ended afterwards."""
    assert CHROMIUM is not None
    down, up = os.pipe(), os.pipe()
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{down[0]} 4>&{up[1]}', "chromium", *words],
            pass_fds=(down[0], up[1]),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(down[0])
        os.close(up[1])
        browser = Browser(process, down[1], up[0])
        try:
            yield browser
        finally:
            try:
                browser.send("Browser.close")
                process.wait(10)
            except (BrowserError, OSError, subprocess.TimeoutExpired):
                process.kill()
                process.wait()
            os.close(down[1])
            os.close(up[0])


def go(page: Page, report: Path, place: str) -> None:
    """Open the report anew at a place, as a link from elsewhere does."""
    page.go("about:blank")
    page.go(report.as_uri() + place)
