"""Scripts that measure a page in the browser: texts in their boxes, contrast, axe."""

from __future__ import annotations

import json
from pathlib import Path

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"

OVERFLOW = """
const edge = document.documentElement.clientWidth;
const all = { visibilityProperty: true, opacityProperty: true };
const shown = (element) => element.checkVisibility(all)
  && !element.closest(".sr, .skip, svg, option, noscript");
const clips = (element) => {
  const style = getComputedStyle(element);
  return style.textOverflow === "ellipsis" || ["auto", "scroll"].includes(style.overflowX)
    || ["auto", "scroll"].includes(style.overflowY);
};
const boxOf = (element) => {
  for (let at = element; at; at = at.parentElement) {
    if (!["inline", "contents"].includes(getComputedStyle(at).display)) return at;
  }
};
const out = [];
for (const element of document.body.querySelectorAll("*:not(script, style, select)")) {
  if (!shown(element)) continue;
  const box = boxOf(element);
  if (clips(box)) continue;
  const bounds = box.getBoundingClientRect();
  for (const node of element.childNodes) {
    if (node.nodeType !== 3 || !node.data.trim()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      if (rect.width && (rect.right > bounds.right + 1.5 || rect.left < bounds.left - 1.5
        || rect.bottom > bounds.bottom + 3 || rect.top < bounds.top - 3)) {
        out.push(`${box.tagName}.${box.className}: ${node.data.trim().slice(0, 40)}`);
        break;
      }
    }
  }
}
for (const element of document.body.querySelectorAll("*")) {
  if (!shown(element) || element.closest(".scroll, pre, .crop, select, dialog")) continue;
  const box = element.getBoundingClientRect();
  if (box.width > 2 && box.right > edge + 1) {
    out.push(`beyond the page: ${element.tagName}.${element.className}`);
  }
}
"""
"""Leaves in `out` what texts leave their boxes, and what leaves the page; in `edge` its width."""

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
const seen = "*:not(svg, svg *, script, option, :disabled, :disabled *)";
for (const element of document.body.querySelectorAll(seen)) {
  if (!Array.from(element.childNodes).some((n) => n.nodeType === 3 && n.data.trim())) continue;
  const pair = [light(getComputedStyle(element).color), light(behind(element))];
  const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  if (ratio < 4.5) low.push(element.tagName + "." + element.className + " " + ratio.toFixed(2));
}
"""
"""Leaves in `low` the elements whose text stands out by less than 4.5 to 1 (WCAG AA)."""

VIEW = {"include": [["header"], ["[data-bar]"], ["main > :not([hidden])"]]}
AXE_RUN = (
    "const checked = await axe.run(PART, { resultTypes: ['violations'] });"
    "return checked.violations.filter((v) => ['serious', 'critical'].includes(v.impact))"
    ".map((v) => [v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160))]);"
).replace("PART", json.dumps(VIEW))
"""Returns axe's serious findings; axe itself has to be in the page."""
