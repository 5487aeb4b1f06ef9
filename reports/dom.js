// Makes elements. Text is always put in as text, never as markup.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const SVG = "http://www.w3.org/2000/svg"; // a name, not an address

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (typeof value === "function") node.addEventListener(name, value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }

  Dpg.el = (name, attributes, ...children) =>
    fill(document.createElement(name), attributes, children);
  Dpg.svg = (name, attributes, ...children) =>
    fill(document.createElementNS(SVG, name), attributes, children);
  Dpg.points = (score, digits = 2) =>
    score === null || score === undefined ? "—" : score.toFixed(digits);
  Dpg.signed = (points, digits = 2) => (points < 0 ? "−" : "+") + Math.abs(points).toFixed(digits);
  Dpg.short = (text, limit) => (text.length > limit ? text.slice(0, limit - 1).trimEnd() + "…" : text);
  Dpg.chance = (p) => (p < 0.001 ? "p < 0.001" : "p = " + p.toFixed(3));

  // Pages through a list: "1-12 of 340", with a button either way.
  Dpg.pager = function (total, size, page, turn, what) {
    const last = Math.max(0, Math.ceil(total / size) - 1);
    const button = (text, to, name) => Dpg.el("button", {
      type: "button", class: "step", disabled: to < 0 || to > last, "aria-label": name,
      click: () => turn(to),
    }, text);
    const from = total ? page * size + 1 : 0;
    return Dpg.el("div", { class: "pager", role: "group", "aria-label": `Pages of ${what}` },
      button("←", page - 1, `Earlier ${what}`),
      Dpg.el("span", {}, `${from}–${Math.min(total, (page + 1) * size)} of ${total}`),
      button("→", page + 1, `Further ${what}`));
  };

  Dpg.select = function (name, label, options, chosen, change) {
    const list = options.map(([value, text]) =>
      Dpg.el("option", { value, selected: value === chosen }, Dpg.short(text, 60)));
    return Dpg.el("label", { class: "field" }, Dpg.el("span", {}, label),
      Dpg.el("select", { name, change: (event) => change(event.target.value) }, list));
  };
})();
