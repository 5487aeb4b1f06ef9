"""The page in Chromium, from a file: sorting, choosing, no overflow, nothing blocked or fetched.

A script of the test's own is let in through the page's policy; all else is the page as it ships.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report_runs import maker

from dpgbench.report import build_report

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

WATCH = """
window.seen = [];
addEventListener("error", (event) => seen.push("error: " + event.message), true);
addEventListener("securitypolicyviolation", (event) => seen.push("blocked: " + event.blockedURI));
addEventListener("load", async () => {
  let result;
  try { result = await (async () => { %s })(); } catch (error) { result = String(error); }
  const fetched = performance.getEntriesByType("resource").map((entry) => entry.name);
  const told = JSON.stringify({ result, seen, fetched });
  if (parent !== window) parent.postMessage(told, "*");
  else {
    const place = document.createElement("pre");
    place.id = "told";
    place.textContent = told;
    document.body.append(place);
  }
});
"""
FRAME = """<!doctype html><meta charset="utf-8"><pre id="told"></pre>
<script>addEventListener("message", (event) => {{ told.textContent = event.data; }});</script>
<iframe src="{name}" width="{width}" height="900" style="border:0"></iframe>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dpg = maker(tmp_path_factory.mktemp("browser"), num_items=14)
    long = "a-model-with-a-name-that-knows-no-end-" * 20
    runs = [
        dpg.make("middle", skill=0.6, images=True),
        dpg.make("best", skill=0.9, images=True, seed=1),
        dpg.make("worst", skill=0.3, model=long, notes=["untrained: scores mean nothing"]),
        dpg.make("part", skill=0.5, unanswered=["COCOval1"]),
    ]
    return build_report(runs, dpg.folder.parent / "report")[0]


def look(page: Path, script: str, *, width: int = 1280, place: str = "", dark: bool = False) -> Any:
    """Return what `script` (the body of an async function) gives inside `page`."""
    watched = page.with_name("watched.html")
    body = WATCH % script
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8")
    text = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    text = text.replace("<title>", f"<script>{body}</script><title>", 1)
    watched.write_text(text, encoding="utf-8")
    top = watched
    if width < 500:  # the narrowest window of headless Chromium
        top = page.with_name("frame.html")
        top.write_text(FRAME.format(name=f"watched.html{place}", width=width), encoding="utf-8")
        place = ""
    told = json.loads(html.unescape(_dump(f"{top.as_uri()}{place}", max(width, 500), dark)))
    assert told["seen"] == []
    assert all(name.startswith("file:") for name in told["fetched"])
    return told["result"]


def _dump(address: str, width: int, dark: bool) -> str:
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-extensions",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        f"--window-size={width},900",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--virtual-time-budget=1000",
        "--dump-dom",
        address,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-500:]
    return found.group(1)


OVERFLOW = """
for (const details of document.querySelectorAll("details")) details.open = true;
const edge = document.documentElement.clientWidth;
const inside = (element) => element.closest(".scroll, pre, .sr, .skip, svg, .long, .prompt");
const out = Array.from(document.body.querySelectorAll("*"))
  .filter((element) => !inside(element) && element.getBoundingClientRect().right > edge + 1)
  .map((element) => element.tagName + "." + element.className);
"""
CONTRAST = """
const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => parse(colour).slice(0, 3).map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (parse(colour).length < 4 || parse(colour)[3] > 0) return colour;
  }
  return "rgb(255, 255, 255)";
};
const low = [];
for (const element of document.body.querySelectorAll("*:not(svg, svg *, script)")) {
  if (!Array.from(element.childNodes).some((n) => n.nodeType === 3 && n.data.trim())) continue;
  const pair = [light(getComputedStyle(element).color), light(behind(element))];
  const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  if (ratio < 4.5) low.push(element.tagName + "." + element.className + " " + ratio);
}
const ground = getComputedStyle(document.body).backgroundColor;
return [edge, document.documentElement.scrollWidth, out, ground, low];
"""
NAMES = """
const names = () => Array.from(document.querySelectorAll("#board-2 .models tbody tr"))
  .filter((row) => !row.hidden).map((row) => row.querySelector(".run").textContent);
const heading = (text) => Array.from(document.querySelectorAll("#board-2 .models thead th"))
  .find((cell) => cell.textContent.startsWith(text));
"""


def test_columns_sort_with_the_keyboard_and_say_so(report: Path) -> None:
    script = (
        NAMES
        + """
    const states = [names()];
    for (const text of ["Overall", "Overall", "Model", "Rank"]) {
      const button = heading(text).querySelector("button");
      button.focus();
      button.click();  // what Enter and Space do on a focused button
      states.push([heading(text).getAttribute("aria-sort"), ...names()]);
    }
    states.push(document.querySelectorAll("#board-2 [aria-sort]").length);
    states.push(document.activeElement.textContent);
    return states;
    """
    )
    first, down, up, by_model, by_rank, sorted_by, focused = look(report, script)
    assert first == ["best", "middle", "worst", "part"]
    assert down == ["descending", "best", "middle", "part", "worst"]
    assert up == ["ascending", "worst", "part", "middle", "best"]
    assert by_model == ["ascending", "worst", "best", "middle", "part"]
    assert by_rank == ["ascending", "best", "middle", "worst", "part"]  # without a rank: last
    assert (sorted_by, focused) == (1, "Rank")


def test_a_link_chooses_rule_and_models(report: Path) -> None:
    script = (
        NAMES
        + """
    const boards = () => Array.from(document.querySelectorAll(".board"), (board) => board.hidden);
    const before = [boards(), names(), document.querySelector("input[type=search]").value];
    document.querySelector("input[type=radio][value='ella-reference']").click();
    const [after, address] = [boards(), location.hash];
    const none = () => !document.querySelector("[data-none]").hidden;
    const said = [none()];
    for (const place of ["#rule=unheard-of", "#gallery"]) {
      const changed = new Promise((resolve) => addEventListener("hashchange", resolve));
      location.hash = place;
      await changed;
      said.push(none());
    }
    return [...before, after, address, said];
    """
    )
    boards, names, find, after, address, said = look(
        report, script, place="#rule=corrected-v1&find=best"
    )
    assert (boards, names, find) == ([True, False], ["best"], "best")
    assert after == [False, True]
    assert address == "#rule=ella-reference&find=best"
    assert said == [False, True, False]  # says that nothing fits, and only then


@pytest.mark.parametrize(
    ("width", "dark", "paper"),
    [(1440, False, "rgb(251, 250, 247)"), (390, True, "rgb(20, 22, 26)")],
)
def test_nothing_overflows_and_all_can_be_read(
    report: Path, width: int, dark: bool, paper: str
) -> None:
    """All text outside drawings stands out by 4.5 to 1 at least (WCAG AA)."""
    edge, scroll, out, ground, low = look(report, OVERFLOW + CONTRAST, width=width, dark=dark)
    assert edge <= width
    assert scroll == edge
    assert out == []
    assert ground == paper
    assert low == []
