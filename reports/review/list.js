// The items of the file: search, filter, and a list that tells which need a look.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el } = Dpg;
  const MORE = 60;
  const SHOWS = {
    all: ["all", () => true],
    flagged: ["with flags", (item) => item.open > 0],
    todo: ["not reviewed", (item) => !item.done],
    changed: ["changed", (item) => item.changed],
  };

  function marks(item) {
    const words = [];
    if (item.gone) words.push(el("span", { class: "flag" }, "no question left"));
    else if (item.open) words.push(el("span", { class: "flag" }, Dpg.counted(item.open, "flag")));
    if (item.changed && !item.gone) words.push("changed");
    if (item.done) words.push("✓ reviewed");
    return words.flatMap((word) => [word, " "]);
  }

  // `open(id)` shows an item. The result has `matches()`, `update(id)` and `choose(id)`.
  Dpg.itemList = function (place, items, brief, open) {
    const entries = new Map();
    const asked = { text: "", show: "all" };
    let chosen = null;
    const status = el("p", { class: "found", role: "status" });
    const list = el("ul", { class: "entries" });
    let waiting = [];
    const end = el("p", { class: "more" }, Dpg.button("Further items", () => more()));

    function entry(item) {
      const now = brief(item.id);
      return el("li", {}, el("a", { class: "entry", href: `#item=${encodeURIComponent(item.id)}`,
        "aria-current": item.id === chosen ? "true" : null,
        click: (event) => { event.preventDefault(); open(item.id); } },
      Dpg.middle(item.id),
      el("span", { class: "snippet", dir: "auto" }, Dpg.short(item.text, 90)),
      el("span", { class: "marks" }, marks(now))));
    }

    function matches() {
      const text = asked.text.trim().toLowerCase();
      return items.filter((item) => (!text || `${item.id} ${item.text}`.toLowerCase().includes(text))
        && SHOWS[asked.show][1](brief(item.id)));
    }

    // Entries are made as far as they are scrolled to, `MORE` at a time.
    function more(number = MORE) {
      const next = waiting.splice(0, number);
      for (const item of next) entries.set(item.id, entry(item));
      list.append(...next.map((item) => entries.get(item.id)));
      end.hidden = !waiting.length;
    }

    function draw() {
      waiting = matches();
      status.textContent = waiting.length === items.length ? Dpg.counted(items.length, "item")
        : `${waiting.length.toLocaleString("en")} of ${Dpg.counted(items.length, "item")}`;
      entries.clear();
      list.replaceChildren();
      more();
    }

    const search = el("label", { class: "field" }, el("span", {}, "Find"),
      el("input", { type: "search", name: "find", autocomplete: "off",
        input: (event) => { asked.text = event.target.value; draw(); } }));
    const show = Dpg.select("show", "Show", Object.entries(SHOWS).map(([value, [name]]) => [value, name]), "all",
      (value) => { asked.show = value; draw(); });
    place.replaceChildren(el("div", { class: "filters" }, search, show), status, list, end);
    new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) more(); }, { rootMargin: "600px" }).observe(end);
    draw();

    return {
      matches,
      // An entry that no longer fits the filter stays until the filter is used again.
      update(id) {
        const old = entries.get(id);
        if (!old) return;
        const fresh = entry(items.find((item) => item.id === id));
        const focused = old.contains(document.activeElement);
        entries.set(id, fresh);
        old.replaceWith(fresh);
        if (focused) fresh.querySelector("a").focus({ preventScroll: true });
      },
      choose(id) {
        const before = chosen;
        chosen = id;
        const at = waiting.findIndex((item) => item.id === id);
        if (at >= 0) more(at + MORE);
        if (before) this.update(before);
        this.update(id);
        const now = entries.get(id);
        if (now) now.scrollIntoView({ block: "nearest" });
      },
      redraw: draw,
    };
  };
})();
