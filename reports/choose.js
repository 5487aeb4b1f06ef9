// Chooses which leaderboards and rows are shown; the choice stands in the address (#rule=...&find=...).
// Without it everything is shown.
"use strict";
(function () {
  const boards = Array.from(document.querySelectorAll(".board"));
  const controls = document.querySelector("[data-controls]");
  const none = document.querySelector("[data-none]");
  const parts = ["benchmark", "judge", "rule"];

  function read() {
    const state = {};
    const text = location.hash.slice(1);
    if (!text.includes("=")) return state;
    for (const [key, value] of new URLSearchParams(text)) state[key] = value;
    return state;
  }

  function write(state) {
    const chosen = Object.entries(state).filter((entry) => entry[1]);
    const text = new URLSearchParams(chosen).toString();
    location.replace("#" + (text || "boards="));
  }

  function apply(state) {
    let shown = 0;
    for (const board of boards) {
      board.hidden = parts.some((part) => state[part] && board.dataset[part] !== state[part]);
      shown += !board.hidden;
    }
    none.hidden = shown > 0;
    const words = (state.find || "").toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of document.querySelectorAll("table[data-filterable] tr[data-text]")) {
      const text = row.dataset.text.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    for (const input of controls.querySelectorAll("input[type=radio]")) {
      input.checked = (state[input.name] || "") === input.value;
    }
    const find = controls.querySelector("input[type=search]");
    if (find !== document.activeElement) find.value = state.find || "";
  }

  function change(key, value) {
    const state = { ...read(), [key]: value };
    write(state);
    apply(state);
  }

  function option(part, value, label) {
    const wrapper = document.createElement("label");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = part;
    input.value = value;
    input.addEventListener("change", () => change(part, value));
    wrapper.append(input, label);
    return wrapper;
  }

  function fieldset(part) {
    const values = Array.from(new Set(boards.map((board) => board.dataset[part])));
    if (values.length < 2) return;
    const field = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = part;
    field.append(legend, option(part, "", "all"), ...values.map((v) => option(part, v, v)));
    controls.append(field);
  }

  function search() {
    const wrapper = document.createElement("label");
    wrapper.className = "find";
    const input = document.createElement("input");
    input.type = "search";
    input.addEventListener("input", () => change("find", input.value));
    wrapper.append("Find a model ", input);
    controls.append(wrapper);
  }

  parts.forEach(fieldset);
  search();
  window.addEventListener("hashchange", () => apply(read()));
  apply(read());
})();
