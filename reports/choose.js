// The one chooser of benchmark, judge and rule, which every view follows.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, select } = Dpg;

  // Of one choice there is nothing to choose: it is told.
  function field(name, label, values, chosen) {
    if (values.length < 2) return el("span", { class: "field single" }, el("span", {}, label), el("bdi", {}, Dpg.short(chosen, 40)));
    return select(name, label, values.map((value) => [value, value]), chosen,
      (value) => Dpg.address.set({ [name]: value, ...(name === "benchmark" ? { item: "", pair: "", model: "" } : {}) }));
  }

  Dpg.chooser = function (data) {
    const place = document.querySelector("[data-chooser]");
    if (!data.groups.length) return;
    place.hidden = false;
    Dpg.part("", Dpg.CHOSEN, ({ set, judge, rule, judges, rules }) => {
      Dpg.redraw(place,
        data.sets.length > 1 ? field("benchmark", "Benchmark", data.sets.map((s) => s.benchmark), set.benchmark) : null,
        field("judge", "Judge", judges, judge), field("rule", "Rule", rules, rule));
    });
  };

  const fits = (element, { set, judge, rule }) => element.dataset.benchmark === Dpg.short(set.benchmark, 200)
    && element.dataset.judge === judge && element.dataset.rule === rule;

  // Which tables are shown, and which of their rows.
  Dpg.boards = function () {
    const boards = Array.from(document.querySelectorAll("#boards > .board"));
    const none = document.querySelector("[data-none]");
    Dpg.part("", Dpg.CHOSEN, (chosen) => {
      for (const board of boards) board.hidden = !fits(board, chosen);
      for (const other of document.querySelectorAll("div.lengths, tr.measured")) other.hidden = !fits(other, chosen);
      none.hidden = boards.some((board) => !board.hidden);
    });
  };
})();
