// All pairs of the chosen tables: row less column, marked where Holm's correction over all of them
// leaves a difference.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, signed, points } = Dpg;

  function cells(matrix) {
    const all = new Map();
    for (const [first, second, gap, low, high, p, apart, items] of matrix) {
      all.set(`${first}.${second}`, { gap, low, high, p, apart, items });
      all.set(`${second}.${first}`, { gap: 0 - gap, low: high === null ? null : 0 - high, high: low === null ? null : 0 - low, p, apart, items });
    }
    return all;
  }

  function cell(data, group, pair, row, column) {
    if (!pair) return el("td", { class: "self" }, el("span", { "aria-hidden": "true" }, "·"));
    const sure = pair.apart === "yes";
    const side = !sure ? "even" : pair.gap > 0 ? "ahead" : "behind";
    const about = `${row.name} less ${column.name}: ${signed(pair.gap)}`
      + (pair.low === null ? "" : ` [${signed(pair.low, 1)}, ${signed(pair.high, 1)}]`)
      + (pair.p === null ? "" : `, ${Dpg.chance(pair.p)} after Holm`) + `, ${pair.items} items`;
    return el("td", { class: `num ${side}` }, Dpg.to({ view: "compare", first: row.name, second: column.name, pair: "",
      cj: group.judge, cr: group.rule }, { title: about, click: () => document.querySelector("[data-compare]").scrollIntoView({ block: "start" }) },
    Math.abs(pair.gap) < 0.05 ? "0.0" : signed(pair.gap, 1)));
  }

  function table(data, group) {
    const all = cells(group.matrix);
    const ranked = group.rows.filter((place) => group.matrix.some(([first, second]) => first === place || second === place))
      .map((place) => ({ ...data.rows[place], place }));
    const apart = group.matrix.filter(([, , , , , , word]) => word === "yes").length;
    return [
      el("h3", {}, "Every two models"),
      el("p", { class: "hint" }, `Overall of the row less that of the column, in points, on the items that both have. Coloured where the `
        + `difference stays after Holm’s correction over all ${Dpg.counted(group.matrix.length, "pair")}: ${apart} of them. A figure leads to the pair.`),
      Dpg.region("Every two models", el("table", { class: "matrix" }, el("caption", { class: "sr" }, "Differences of overall scores, row less column"),
        el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "first" }, "less"), ranked.map((column) =>
          el("th", { scope: "col", class: "num" }, el("span", { class: "slant", title: column.name }, Dpg.middle(column.name)))))),
        el("tbody", {}, ranked.map((row) => el("tr", {}, el("th", { scope: "row", class: "first" },
          el("span", { class: "name" }, el("span", { class: `swatch r${row.run}`, "aria-hidden": "true" }), Dpg.middle(row.name)),
          el("span", { class: "ends" }, points(row.overall))),
        ranked.map((column) => cell(data, group, all.get(`${row.place}.${column.place}`), row, column))))))),
    ];
  }

  Dpg.matrix = function (data) {
    const place = document.querySelector("[data-matrix]");
    Dpg.part("compare", Dpg.CHOSEN, ({ groups }) => {
      const some = groups.filter((group) => group.matrix.length > 1);
      Dpg.redraw(place, some.flatMap((group) => table(data, group)));
    });
  };
})();
