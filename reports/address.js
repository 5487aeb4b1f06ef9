// What is chosen on the page, kept in the address (#rule=...&item=...), so that it can be sent on.
// A plain anchor (#runs) leaves the choice as it is.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const listeners = [];
  let state = {};
  let seen = null;

  function parse(hash) {
    const text = hash.replace(/^#/, "");
    return text.includes("=") ? Object.fromEntries(new URLSearchParams(text)) : null;
  }

  function format(chosen) {
    const entries = Object.entries(chosen).filter((entry) => entry[1] !== "" && entry[1] != null);
    return "#" + (new URLSearchParams(entries).toString() || "boards=");
  }

  function tell(changed) {
    for (const listener of listeners) listener(state, changed);
  }

  function read() {
    if (location.hash === seen) return;
    seen = location.hash;
    const asked = parse(location.hash);
    if (!asked) return;
    const keys = new Set([...Object.keys(state), ...Object.keys(asked)]);
    const changed = [...keys].filter((key) => state[key] !== asked[key]);
    state = asked;
    tell(new Set(changed));
  }

  Dpg.address = {
    parse,
    format,
    get: () => state,
    listen: (listener) => listeners.push(listener),
    link: (changes) => format({ ...state, ...changes }),
    // `keep`: a place that the reader may want to go back to.
    set(changes, keep = false) {
      state = { ...state, ...changes };
      seen = format(state);
      history[keep ? "pushState" : "replaceState"](null, "", seen);
      tell(new Set(Object.keys(changes)));
    },
    start() {
      state = parse(location.hash) || {};
      seen = location.hash;
      window.addEventListener("hashchange", read);
      window.addEventListener("popstate", read);
      tell(new Set(Object.keys(state)));
    },
  };
})();
