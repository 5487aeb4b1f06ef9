// One view at a time: which it is, and drawing of its parts when it is looked at. Without scripts
// all that the page has stands one below the other.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const parts = [];
  let shown = null;
  const sections = () => document.querySelectorAll("main > [data-view]");

  // The view of an address; of one that names none, that which its other words are about.
  Dpg.viewOf = function (state) {
    if (state.view) return state.view;
    if (state.pair || state.first || state.second) return "compare";
    return state.item || state.text || state.show || state.sort || state.source ? "items" : "board";
  };

  // A part of a view is drawn when it is seen, and again when a word of the address that it is about
  // has changed since. `draw` gets what the address chooses, the address and what changed.
  Dpg.part = (view, keys, draw) => parts.push({ view, keys: new Set(keys), draw, changed: null });

  Dpg.CHOSEN = ["benchmark", "judge", "rule"];

  // Shows the view that has an element, and opens what folds it away.
  Dpg.reveal = function (element) {
    const section = element.closest("main > [data-view]");
    const card = element.closest(".run-card");
    for (let at = element; at; at = at.parentElement) if (at.matches("details")) at.open = true;
    const board = element.closest(".board");
    const changes = board && board.hidden
      ? { benchmark: board.dataset.benchmark, judge: board.dataset.judge, rule: board.dataset.rule } : {};
    if (card) changes.model = Dpg.nameOfRun(Number(card.dataset.run));
    if (section) Dpg.address.set({ view: section.dataset.view, ...changes }, true);
  };

  Dpg.nameOfRun = function (index) {
    const run = Dpg.data.sets.flatMap((set) => set.runs).find((r) => r.index === index);
    return run ? run.name : "";
  };

  function mark(view) {
    for (const section of sections()) section.hidden = section.dataset.view !== view;
    for (const link of document.querySelectorAll("nav a[data-view]")) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.body.dataset.view = view;
  }

  // What each view starts with; what is chosen for all (judge, rule, model) stays.
  function links() {
    for (const link of document.querySelectorAll("nav a[data-view]")) {
      const view = link.dataset.view;
      const has = document.querySelector(`main > [data-view="${view}"]`);
      link.hidden = !has || has.matches("[data-nothing]");
      const kept = ["benchmark", "judge", "rule", "model", "colours"];
      const to = () => Object.fromEntries(kept.map((key) => [key, Dpg.address.get()[key] || ""]));
      const href = () => Dpg.address.format({ view, ...to() });
      link.addEventListener("focus", () => { link.href = href(); });
      link.addEventListener("mouseenter", () => { link.href = href(); });
      link.href = href();
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
        event.preventDefault();
        const other = Object.fromEntries(Object.keys(Dpg.address.get()).map((key) => [key, ""]));
        Dpg.address.set({ ...other, view, ...to() });
      });
    }
  }

  // A view that is new begins below what sticks at the top.
  function top() {
    const above = document.querySelector("main").offsetTop - stuck().offsetHeight;
    if (window.scrollY > above) window.scrollTo({ top: above, behavior: "instant" });
  }

  const stuck = () => {
    const bar = document.querySelector("[data-bar]");
    return getComputedStyle(bar).display === "contents" ? bar.querySelector("[data-chooser]") : bar;
  };
  // The height of what sticks at the top: the bar, or on narrow screens its chooser alone.
  Dpg.barHeight = function () {
    const height = stuck().offsetHeight;
    document.documentElement.style.setProperty("--bar", `${height}px`);
    return height;
  };

  Dpg.views = function (data) {
    links();
    Dpg.barHeight();
    for (const part of document.querySelectorAll("[data-bar], [data-chooser]")) new ResizeObserver(Dpg.barHeight).observe(part);
    window.addEventListener("resize", Dpg.barHeight);
    const unknown = document.querySelector("[data-unknown]");
    Dpg.address.listen((state, changed) => {
      let view = Dpg.viewOf(state);
      const missing = Dpg.model.unknown(data, state);
      if (![...sections()].some((section) => section.dataset.view === view && !section.matches("[data-nothing]"))) {
        missing.push(`This report has no view “${Dpg.short(view, 80)}”; the leaderboard is shown.`);
        view = "board";
      }
      unknown.hidden = !missing.length;
      unknown.replaceChildren(...missing.map((sentence) => Dpg.el("p", {}, sentence)));
      const moved = shown !== null && shown !== view;
      if (shown !== view) mark(view);
      shown = view;
      const chosen = Dpg.model.view(data, state);
      for (const part of parts) {
        if (part.changed && [...changed].some((key) => part.keys.has(key))) {
          for (const key of changed) part.changed.add(key);
          part.stale = true;
        }
        if ((part.view === "" || part.view === view) && (!part.changed || part.stale)) {
          const since = part.changed || new Set(changed);
          part.changed = new Set();
          part.stale = false;
          part.draw(chosen, state, since);
        }
      }
      if (moved && !state.at) top();
    });
  };

  // A view that has nothing to show in this report.
  Dpg.nothing = (view) => document.querySelector(`main > [data-view="${view}"]`).setAttribute("data-nothing", "");
})();
