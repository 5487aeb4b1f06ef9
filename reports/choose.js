// Chooses which leaderboards and rows are shown. Without it everything is shown.
"use strict";
var Dpg = globalThis.Dpg || {};
Dpg.boards = function () {
  const { el } = Dpg;
  const boards = Array.from(document.querySelectorAll(".board"));
  const controls = document.querySelector("[data-controls]");
  const none = document.querySelector("[data-none]");
  const parts = ["benchmark", "judge", "rule"];

  const fits = (board, state) =>
    parts.every((part) => !state[part] || board.dataset[part] === state[part]);

  function apply(state) {
    let shown = 0;
    for (const board of boards) {
      board.hidden = !fits(board, state);
      shown += !board.hidden;
    }
    for (const other of document.querySelectorAll("div.lengths")) other.hidden = !fits(other, state);
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

  function option(part, value, label) {
    const change = () => Dpg.address.set({ [part]: value });
    return el("label", {}, el("input", { type: "radio", name: part, value, change }), label);
  }

  function fieldset(part) {
    const values = Array.from(new Set(boards.map((board) => board.dataset[part])));
    if (values.length < 2) return;
    controls.append(el("fieldset", {}, el("legend", {}, part), option(part, "", "all"),
      values.map((value) => option(part, value, value))));
  }

  parts.forEach(fieldset);
  const input = (event) => Dpg.address.set({ find: event.target.value });
  controls.append(el("label", { class: "find" }, "Find a model ", el("input", { type: "search", input })));
  Dpg.address.listen((state, changed) => {
    if (["find", ...parts].some((key) => changed.has(key)) || !changed.size) apply(state);
  });
};
