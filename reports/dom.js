// Makes elements. Text is always put in as text, never as markup.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const SVG = "http://www.w3.org/2000/svg"; // a name, not an address
  const TAIL = 6; // characters of an id's end that always show

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (typeof value === "function") node.addEventListener(name, value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  Dpg.el = (name, attributes, ...children) =>
    fill(document.createElement(name), attributes, children);
  Dpg.svg = (name, attributes, ...children) =>
    fill(document.createElementNS(SVG, name), attributes, children);
  const { el } = Dpg;
  Dpg.points = (score, digits = 2) =>
    score === null || score === undefined ? "—" : score.toFixed(digits);
  Dpg.signed = (points, digits = 2) => (points < 0 ? "−" : "+") + Math.abs(points).toFixed(digits);
  Dpg.short = (text, limit) => (text.length > limit ? text.slice(0, limit - 1).trimEnd() + "…" : text);
  Dpg.chance = (p) => (p < 0.001 ? "p < 0.001" : "p = " + p.toFixed(3));
  // A category for people: "Global" for "global - ", whose finer part has no name.
  Dpg.category = function (name) {
    const plain = name.replace(/\s*-\s*$/, "") || name;
    return plain.slice(0, 1).toUpperCase() + plain.slice(1);
  };
  // The finer parts of a category that have names.
  Dpg.finer = (set, l1) => set.l2.filter((name, n) => set.l1[n] === l1 && Dpg.category(name) !== Dpg.category(l1));
  Dpg.counted = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

  // A name that is cut in its middle where there is no room: ids differ at their ends.
  Dpg.middle = function (text) {
    const whole = Dpg.short(text, 200);
    if (whole.length <= TAIL) return el("bdi", { class: "id" }, whole);
    return el("bdi", { class: "id", title: whole }, el("span", { class: "head" }, whole.slice(0, -TAIL)),
      el("span", { class: "tail" }, whole.slice(-TAIL)));
  };

  Dpg.swatch = (run) => el("span", { class: `swatch r${run.index}`, "aria-hidden": "true" });
  Dpg.name = (run, limit = 60) => el("bdi", {}, Dpg.short(run.name, limit));

  // What an entry of a list says beside its picture: two lines, each with something at its end.
  Dpg.lines = (...pairs) => el("span", { class: "lines" }, pairs.map((pair) => el("span", { class: "line" }, pair)));

  // A link to a state of the page; with another target the browser does as it always does.
  Dpg.to = (changes, attributes, ...children) => el("a", { href: Dpg.address.link(changes), ...attributes,
    click: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      Dpg.address.set(changes);
      if (attributes && attributes.click) attributes.click(event);
    } }, ...children);

  Dpg.button = (text, act, attributes = {}) =>
    el("button", { type: "button", class: "plain", ...attributes, click: act }, text);

  Dpg.region = (label, ...children) =>
    el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": label }, ...children);

  // Pages through a list: "1-12 of 340", with a button either way. The page is in the address, from 1.
  Dpg.PAGE_KEYS = ["page"];
  Dpg.pages = function (total, size, asked) {
    const last = Math.max(1, Math.ceil(total / size));
    return Math.min(last, Math.max(1, Math.floor(Number(asked)) || 1)) - 1;
  };
  Dpg.pager = function (total, size, page, what) {
    if (total <= size) return null;
    const last = Math.max(0, Math.ceil(total / size) - 1);
    const button = (text, to, name) => el("button", {
      type: "button", class: "step", disabled: to < 0 || to > last, "aria-label": name,
      click: () => Dpg.address.set({ page: to ? String(to + 1) : "" }),
    }, text);
    return el("div", { class: "pager", role: "group", "aria-label": `Pages of ${what}` },
      button("←", page - 1, `Earlier ${what}`),
      el("span", {}, `${page * size + 1}–${Math.min(total, (page + 1) * size)} of ${total.toLocaleString("en")}`),
      button("→", page + 1, `Further ${what}`));
  };

  Dpg.select = function (name, label, options, chosen, change) {
    const list = options.map(([value, text]) =>
      el("option", { value, selected: value === chosen }, Dpg.short(text, 60)));
    return el("label", { class: "field" }, el("span", {}, label),
      el("select", { name, change: (event) => change(event.target.value) }, list));
  };

  // Draws anew and leaves the keyboard where it was: on the control of that name or label, else place.
  Dpg.redraw = function (place, ...parts) {
    const old = document.activeElement;
    const inside = old && old !== place && place.contains(old);
    const path = [];
    for (let at = old; inside && at !== place; at = at.parentElement) {
      path.unshift(Array.prototype.indexOf.call(at.parentElement.children, at));
    }
    const mark = !inside ? null : old.name ? `[name="${CSS.escape(old.name)}"]`
      : old.getAttribute("aria-label") ? `${old.tagName}[aria-label="${CSS.escape(old.getAttribute("aria-label"))}"]` : null;
    place.replaceChildren(...parts.flat(Infinity).filter(Boolean));
    if (!inside) return;
    const same = mark && place.querySelector(mark);
    const again = same || path.reduce((at, n) => at && at.children[n], place);
    const open = again && again.disabled ? again.parentElement.querySelector("button:enabled") : again;
    if (open) open.focus({ preventScroll: true });
  };
})();
