// What is chosen on the page, kept in the address (#view=items&item=...), so that it can be sent on.
// `at` is the place that was read: the id of the element at the top and how far below it.
// A plain anchor (#method) leaves the choice as it is and shows what it names.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const QUIET = 200; // milliseconds without scrolling, after which the place is noted
  const listeners = [];
  let state = {};
  let seen = null;
  let pending = 0;

  function parse(hash) {
    const text = hash.replace(/^#/, "");
    return text.includes("=") ? Object.fromEntries(new URLSearchParams(text)) : null;
  }

  function format(chosen) {
    const entries = Object.entries(chosen).filter((entry) => entry[1] !== "" && entry[1] != null);
    return "#" + (new URLSearchParams(entries).toString() || "view=board");
  }

  function tell(changed) {
    for (const listener of listeners) listener(state, changed);
  }

  function write(how, next) {
    state = next;
    seen = format(state);
    history[how](null, "", seen);
  }

  // The place that is being read, as "id~pixels below its top"; empty at the top of the page.
  function place() {
    if (window.scrollY < 8) return "";
    const edge = Dpg.barHeight() + 4;
    let best = null;
    for (const element of document.querySelectorAll("main [id], main")) {
      const box = element.getBoundingClientRect();
      if (element.id && box.height && box.top <= edge && (!best || box.top >= best.top)) best = { id: element.id, top: box.top };
    }
    return best ? `${best.id}~${Math.round(edge - best.top)}` : "";
  }

  function note() {
    clearTimeout(pending);
    pending = 0;
    const at = place();
    if ((state.at || "") !== at) write("replaceState", { ...state, at });
  }

  // Goes to the place that the address names.
  function restore() {
    const [id, below] = (state.at || "").split("~");
    const element = id && document.getElementById(id);
    if (!element) return false;
    const top = element.getBoundingClientRect().top + window.scrollY + (Number(below) || 0);
    window.scrollTo({ top: top - Dpg.barHeight() - 4, behavior: "instant" });
    return true;
  }

  function anchor(id) {
    const element = document.getElementById(decodeURIComponent(id));
    if (!element) return;
    Dpg.reveal(element);
    element.scrollIntoView({ block: "start", behavior: "instant" });
  }

  function read() {
    if (location.hash === seen) return;
    const asked = location.hash ? parse(location.hash) : {};
    if (!asked) {
      const id = location.hash.slice(1);
      history.replaceState(null, "", seen || format(state));
      if (id) anchor(id);
      return;
    }
    seen = location.hash;
    const keys = new Set([...Object.keys(state), ...Object.keys(asked)]);
    const changed = [...keys].filter((key) => state[key] !== asked[key]);
    state = asked;
    tell(new Set(changed));
    if (!restore()) window.scrollTo({ top: 0, behavior: "instant" });
  }

  Dpg.address = {
    parse,
    format,
    get: () => state,
    listen: (listener) => listeners.push(listener),
    link: (changes) => format({ ...state, at: "", page: "", ...changes }),
    restore,
    // `quiet`: no place that Back should lead to, such as a letter typed or a tile looked at.
    set(changes, quiet = false) {
      if (pending) note();
      const before = state;
      const next = { ...state, ...(quiet ? {} : { at: "" }), ...changes };
      if (format(next) !== format(before)) write(quiet ? "replaceState" : "pushState", next);
      tell(new Set(Object.keys(changes).filter((key) => (before[key] || "") !== (next[key] || ""))));
    },
    start() {
      const asked = parse(location.hash);
      const id = asked ? "" : location.hash.slice(1);
      state = asked || {};
      seen = location.hash;
      history.scrollRestoration = "manual";
      window.addEventListener("hashchange", read);
      window.addEventListener("popstate", read);
      tell(new Set(Object.keys(state)));
      if (id) anchor(id);
      else restore();
      window.addEventListener("scroll", () => {
        clearTimeout(pending);
        pending = setTimeout(note, QUIET);
      }, { passive: true });
    },
  };
})();
