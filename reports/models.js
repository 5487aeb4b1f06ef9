// A page for each model: its sentence, strong and weak categories against the best, what was cut, its
// worst and best items; its settings and command stand below, as they do without scripts.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, svg, points, signed } = Dpg;
  const MOST = 6;

  // The comparison of two rows, the first less the second, whichever way it is kept.
  function against(data, first, second) {
    const kept = data.comparisons.find(({ rows, overall }) => overall && rows.includes(first.place) && rows.includes(second.place));
    return !kept || kept.rows[0] === first.place ? kept : Dpg.turned(kept);
  }

  function bar(gap, reach) {
    const x = 50 + (48 * gap) / reach;
    return svg("svg", { class: "dot", viewBox: "0 0 100 16", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("path", { class: "grid zero", d: "M50 0V16" }), svg("path", { class: gap < 0 ? "lag" : "gain", d: `M50 8H${x}` }));
  }

  // L1 and L2 categories, the widest lag first.
  function categories(data, chosen, row, rival) {
    const comparison = rival && against(data, row, rival);
    if (!comparison) return null;
    const parts = [...comparison.l1, ...comparison.l2].sort((a, b) => a[3] - b[3]);
    if (!parts.length) return null;
    const reach = Math.max(1, ...parts.map((part) => Math.abs(part[3])));
    const line = ([name, mine, other, gap, , , , , , apart]) => el("tr", { class: apart === "yes" ? "sure" : null },
      el("th", { scope: "row", class: "first", dir: "auto" }, Dpg.to({ view: "failures", failed: name, model: row.name }, {}, Dpg.category(name))),
      el("td", { class: "num" }, points(mine)), el("td", { class: "num" }, points(other)),
      el("td", { class: "num" }, el("strong", {}, signed(gap))), el("td", { class: "plot" }, bar(gap, reach)), el("td", {}, apart));
    const title = `Categories against ${Dpg.short(rival.name, 60)}`;
    return [el("h4", {}, "Categories against ", el("bdi", {}, Dpg.short(rival.name, 60)), rival.best ? ", the best" : ", the next"),
      Dpg.region(title, el("table", { class: "pairs differences" }, el("caption", { class: "sr" }, title),
        el("thead", {}, el("tr", {}, ["Category", "Here", "There", "Difference", `${signed(-reach, 0)} to ${signed(reach, 0)}`, "Told apart"]
          .map((head, n) => el("th", { scope: "col", class: n === 4 ? "plot" : n === 5 ? null : n ? "num" : "first" }, head)))),
        el("tbody", {}, parts.map(line))))];
  }

  function strip(chosen, run, items, title) {
    const { set, judge, rule } = chosen;
    if (!items.length) return null;
    return [el("h4", {}, title), el("ol", { class: "shelf" }, items.map((item) => {
      const text = Dpg.model.states(run, judge, rule, item);
      const tile = text ? Dpg.worstTile(Dpg.model.tilesOf(text, run.tiles)) : 0;
      return el("li", {}, Dpg.to({ view: "items", item: set.ids[item], model: run.name, failed: "", sort: "" }, { class: "entry" },
        Dpg.crop(set, run, item, tile, ""), Dpg.middle(set.ids[item]),
        el("span", { class: "value" }, points(Dpg.model.scores(set, run, judge, rule)[item], 1))));
    }))];
  }

  function extremes(chosen, run) {
    const { set, judge, rule } = chosen;
    const scores = Dpg.model.scores(set, run, judge, rule);
    const items = set.ids.map((_, item) => item).filter((item) => scores[item] !== null)
      .sort((a, b) => scores[a] - scores[b] || a - b);
    const number = Math.min(MOST, Math.floor(items.length / 2) || items.length);
    return [strip(chosen, run, items.slice(0, number), "Lowest items"),
      items.length > 1 ? strip(chosen, run, items.slice(-number).reverse(), "Highest items") : null];
  }

  function cut(run) {
    if (!run.cut.length) return null;
    return el("p", {}, `The text encoder cut ${Dpg.counted(run.cut.length, "prompt")}: `,
      Dpg.to({ view: "items", show: "cut", model: run.name, item: "" }, {}, "look at them"), ".");
  }

  function page(data, chosen, run) {
    const row = Dpg.model.rowOf(data, chosen, run);
    if (!row) return [el("p", { class: "none" }, `This run has no score by ${chosen.judge} under ${chosen.rule}.`)];
    const others = chosen.rows.map((place) => ({ ...data.rows[place], place })).filter((other) => other.run !== run.index);
    const best = data.rows[chosen.rows[0]].run !== run.index;
    const rival = others.length ? { ...others[0], best } : null;
    return [el("p", { class: "finding" }, row.sentence),
      ...row.notes.map((note) => el("p", { class: "caution", dir: "auto" }, Dpg.short(note, 300))),
      cut(run), categories(data, chosen, row, rival), extremes(chosen, run)];
  }

  Dpg.models = function (data) {
    const place = document.querySelector("[data-models]");
    const cards = Array.from(document.querySelectorAll(".run-card"));
    Dpg.part("models", [...Dpg.CHOSEN, "model"], (chosen) => {
      const { set, run } = chosen;
      if (!run) return;
      Dpg.redraw(place, set.runs.length > 1 ? el("div", { class: "chips", role: "group", "aria-label": "Model" },
        chosen.runs.map((r) => el("button", { type: "button", class: "chip", "aria-pressed": String(r === run),
          click: () => Dpg.address.set({ model: r.name }) }, Dpg.swatch(r), Dpg.name(r, 40)))) : null);
      for (const card of cards) {
        card.hidden = Number(card.dataset.run) !== run.index;
        if (!card.hidden) Dpg.redraw(card.querySelector("[data-model]"), page(data, chosen, run));
      }
    });
  };
})();
