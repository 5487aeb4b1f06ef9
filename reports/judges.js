// Judges side by side: what each says of each model under the chosen rule, and where they differ.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, points } = Dpg;
  const SIZE = 12;

  const several = (set) => set.runs.some((run) => Object.keys(run.judges).length > 1);

  // The overall of each run by each judge under a rule, looked up.
  function table(data, { set, rule }) {
    const groups = data.groups.filter((group) => data.sets[group.set] === set && group.rule === rule);
    const rows = groups.flatMap((group) => group.rows.map((place) => data.rows[place]));
    const judges = [...new Set(groups.map((group) => group.judge))];
    const row = (run, judge) => rows.find((r) => r.run === run.index && r.judge === judge);
    const cell = (result) => el("td", { class: "num" }, result ? points(result.overall) : "—",
      result && result.interval ? el("span", { class: "ends" }, `[${points(result.interval[0], 1)}, ${points(result.interval[1], 1)}]`) : null,
      result ? el("span", { class: "ends" }, `rank ${result.rank}`) : null);
    return Dpg.region("Overall by judge", el("table", { class: "pairs narrow" },
      el("caption", {}, `Overall by judge, rule ${rule}; ranks are among the models that the judge scored`),
      el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "first" }, "Model"), judges.map((judge) => el("th", { scope: "col", class: "num", dir: "auto" }, Dpg.short(judge, 40))))),
      el("tbody", {}, set.runs.map((run) => el("tr", {}, el("th", { scope: "row", class: "first" }, el("span", { class: "name" }, Dpg.swatch(run), Dpg.middle(run.name))),
        judges.map((judge) => cell(row(run, judge))))))));
  }

  function differences({ set, run, rule }, state) {
    const list = set.ids.map((_, item) => ({ item, number: Dpg.model.disagreement(run, item) }))
      .filter(({ number }) => number).sort((a, b) => b.number - a.number || a.item - b.item);
    const page = Dpg.pages(list.length, SIZE, state.page);
    const judges = Object.keys(run.judges);
    const total = list.reduce((sum, { number }) => sum + number, 0);
    return [
      el("h3", {}, "Where they differ"),
      el("p", { class: "hint" }, list.length
        ? `In ${Dpg.counted(total, "answer")} about ${Dpg.counted(list.length, "item")} one judge says yes and another does not; those with most first.`
        : "They differ about nothing."),
      el("ol", { class: "entries wide" }, list.slice(page * SIZE, (page + 1) * SIZE).map(({ item, number }) => el("li", {},
        Dpg.to({ view: "items", item: set.ids[item], model: run.name, show: "disagree" }, { class: "entry" },
          Dpg.crop(set, run, item, 0, "thumb"), Dpg.lines([Dpg.middle(set.ids[item]), el("span", { class: "value" }, String(number))],
            [el("span", { class: "snippet" }, judges.map((judge) => `${Dpg.short(judge, 30)} ${points(Dpg.model.scores(set, run, judge, rule)[item], 1)}`).join(" · "))]))))),
      Dpg.pager(list.length, SIZE, page, "items"),
    ];
  }

  Dpg.judges = function (data) {
    const place = document.querySelector("[data-judges]");
    if (!data.sets.some(several)) {
      Dpg.nothing("judges");
      return;
    }
    Dpg.part("judges", [...Dpg.CHOSEN, "model", "page"], (chosen, state) => {
      const { set } = chosen;
      const runs = set.runs.filter((run) => Object.keys(run.judges).length > 1);
      const run = runs.includes(chosen.run) ? chosen.run : runs[0];
      if (!run) {
        Dpg.redraw(place, el("p", { class: "none" }, "Only one judge answered here."));
        return;
      }
      Dpg.redraw(place, table(data, chosen),
        runs.length > 1 ? el("div", { class: "filters" }, Dpg.select("model", "Model", runs.map((r) => [r.name, r.name]), run.name,
          (model) => Dpg.address.set({ model, page: "" }))) : null,
        differences({ ...chosen, run }, state));
    });
  };
})();
