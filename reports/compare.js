// Two models side by side: paired differences, and the items on which they differ.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, svg, points, signed } = Dpg;
  const SIZE = 10;

  // What the comparison is about: its own judge and rule (`cj`, `cr`), else those chosen for all.
  function about(data, state) {
    return Dpg.model.view(data, { ...state, judge: state.cj || state.judge, rule: state.cr || state.rule });
  }

  function sides(data, state, { rows: places }) {
    const rows = places.map((place) => ({ ...data.rows[place], place }));
    if (rows.length < 2) return { rows };
    const named = (name) => rows.find((row) => row.name === name);
    const first = named(state.first) || rows.find((row) => row.name !== state.second);
    const second = named(state.second) || rows.find((row) => row !== first);
    return { rows, first, second };
  }

  const reasons = (data, first, second) => data.facts
    .map((fact, n) => ({ ...fact, one: first.facts[n], two: second.facts[n] }))
    .filter(({ one, two }) => one[0] !== two[0]);

  // A comparison is kept once, the better first: turned round where it is asked for the other way.
  function find(data, first, second) {
    const wanted = data.comparisons.find(({ rows }) => rows[0] === first.place && rows[1] === second.place);
    if (wanted) return wanted.overall ? wanted : null;
    const other = data.comparisons.find(({ rows }) => rows[1] === first.place && rows[0] === second.place);
    return other && other.overall ? turned(other) : null;
  }

  const minus = (value) => (value === null ? null : 0 - value);
  const turn = ([a, b, gap, low, high, ...rest]) => [b, a, minus(gap), minus(high), minus(low), ...rest];

  function turned({ items, overall, outcomes, l1, l2 }) {
    const all = (level) => level.map(([name, ...rest]) => [name, ...turn(rest)]);
    return { items, overall: turn(overall), outcomes: [...outcomes].reverse(), l1: all(l1), l2: all(l2) };
  }
  Dpg.turned = turned;

  // An interval of a difference on a line from -reach to +reach.
  function whisker([, , gap, low, high], reach) {
    const x = (points) => 50 + Math.max(-48, Math.min(48, (48 * points) / reach));
    return svg("svg", { class: "dot", viewBox: "0 0 100 16", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("path", { class: "grid zero", d: "M50 0V16" }),
      low === null ? null : svg("path", { class: "whisker", d: `M${x(low)} 8H${x(high)}M${x(low)} 4V12M${x(high)} 4V12` }),
      svg("path", { class: "point", d: `M${x(gap)} 8h.01` }));
  }

  const range = ([, , , low, high]) => (low === null ? "" : `[${signed(low, 1)}, ${signed(high, 1)}]`);

  // `items`: how many both have; on too few there is no interval and no p.
  function line(name, cells, reach) {
    const [a, b, gap, , , p, adjusted, items, apart] = cells;
    const enough = p !== null;
    return el("tr", { class: apart === "yes" ? "sure" : null }, el("th", { scope: "row", dir: "auto" }, name),
      el("td", { class: "num" }, points(a)), el("td", { class: "num" }, points(b)),
      el("td", { class: "num" }, el("strong", {}, signed(gap)), el("span", { class: "ends" }, range(cells))),
      el("td", { class: "plot" }, whisker(cells, reach)),
      el("td", { class: "num" }, enough ? Dpg.chance(p) : "—"),
      el("td", { class: "num" }, adjusted === null ? "—" : Dpg.chance(adjusted)),
      el("td", {}, apart), el("td", { class: "num" }, String(items)));
  }

  function table(comparison, first, second) {
    const every = [comparison.overall, ...comparison.l1.map((c) => c.slice(1)), ...comparison.l2.map((c) => c.slice(1))];
    const reach = Math.max(1, ...every.map((c) => Math.max(Math.abs(c[2]), Math.abs(c[3]), Math.abs(c[4]))));
    const heads = ["Part", Dpg.short(first.name, 30), Dpg.short(second.name, 30), "Difference",
      `${signed(-reach, 0)} to ${signed(reach, 0)}`, "p", "p, Holm", "Told apart", "Items"];
    const body = (name, rows) => el("tbody", {}, el("tr", { class: "level" },
      el("th", { colspan: 9, scope: "rowgroup" }, name)), rows);
    const level = (categories) => categories.map(([name, ...cells]) => line(Dpg.category(name), cells, reach));
    return Dpg.region("Paired differences",
      el("table", { class: "pairs differences" },
        el("caption", {}, `${Dpg.short(first.name, 40)} less ${Dpg.short(second.name, 40)}, in points, on `
          + `${comparison.items} item${comparison.items === 1 ? "" : "s"} that both have`),
        el("thead", {}, el("tr", {}, heads.map((head, n) => el("th", { scope: "col", dir: "auto",
          class: [1, 2, 3, 5, 6, 8].includes(n) ? "num" : n === 4 ? "plot" : null }, head)))),
        el("tbody", {}, line("Overall", comparison.overall, reach)),
        comparison.l1.length ? body("Categories (L1)", level(comparison.l1)) : null,
        comparison.l2.length ? body("Finer categories (L2)", level(comparison.l2)) : null));
  }

  function verdict(data, comparison, first, second) {
    const [, , gap, , , p, , , apart] = comparison.overall;
    const [wins, ties, losses] = comparison.outcomes;
    const [ahead, behind] = gap >= 0 ? [first, second] : [second, first];
    const lead = gap >= 0 ? comparison.overall : turn(comparison.overall);
    const sentence = apart === "too few"
      ? [`${signed(gap)} points on ${comparison.items} item${comparison.items === 1 ? "" : "s"} that both have: fewer than `
        + `${data.least_items} do not tell a difference from chance, so there is no interval and no p-value.`]
      : apart === "yes"
      ? [el("bdi", {}, Dpg.short(ahead.name, 60)), " is ahead of ", el("bdi", {}, Dpg.short(behind.name, 60)),
        ` by ${lead[2].toFixed(2)} points ${range(lead)}, ${Dpg.chance(p)}.`]
      : [`These items cannot tell the two apart: ${signed(gap)} points ${range(comparison.overall)}, ${Dpg.chance(p)}.`];
    return [el("p", { class: "finding", role: "status" }, sentence),
      el("p", { class: "hint" }, `Item by item, ${Dpg.short(first.name, 60)} is better on ${wins}, `
        + `the two are equal on ${ties}, ${Dpg.short(second.name, 60)} is better on ${losses}.`)];
  }

  function warning(unlike) {
    if (!unlike.length) return null;
    const decides = unlike.some((reason) => reason.decides);
    return el("div", { class: "notice" },
      el("p", {}, el("strong", {}, decides ? "These two cannot be compared." : "Not strictly comparable.")),
      el("ul", {}, unlike.map(({ label, one, two }) => el("li", {}, `${label}: ${one[1]} / ${two[1]}`))));
  }

  // What must be read before the figures: notes of the runs, and that few items settle little.
  function caveats(data, comparison, rows) {
    const notes = [...new Set(rows.flatMap((row) => row.notes.map((note) => `${Dpg.short(row.name, 60)}: ${note}`)))];
    if (comparison && comparison.items >= data.least_items && comparison.items < data.few_items) {
      notes.push(`Only ${comparison.items} items: with so few the intervals are too narrow and p too small.`);
    }
    return notes.map((note) => el("p", { class: "caution", dir: "auto" }, Dpg.short(note, 300)));
  }

  // Items that both have, and by how much the first is ahead on each.
  function gaps(data, first, second) {
    const set = data.sets.find((s) => [first, second].every((row) => s.runs.some((r) => r.index === row.run)));
    if (!set) return null;
    const runs = [first, second].map((row) => set.runs.find((r) => r.index === row.run));
    const both = runs.map((run, n) => Dpg.model.scores(set, run, [first, second][n].judge, first.rule));
    const list = [];
    both[0].forEach((a, item) => {
      const b = both[1][item];
      if (a !== null && b !== null) list.push({ item, a, b, gap: a - b });
    });
    return { set, runs, list };
  }

  const ORDERS = { first: (x) => -x.gap, second: (x) => x.gap, most: (x) => -Math.abs(x.gap) };

  function card(pair, n, item, row) {
    const { set, runs } = pair;
    const run = runs[n];
    const scores = Dpg.model.tallies(set, run, row.judge, row.rule, item).map((tile) => tile.score);
    return el("figure", { class: "card side" },
      el("figcaption", {}, Dpg.swatch(run), Dpg.name(run), " ",
        el("strong", {}, points(Dpg.model.scores(set, run, row.judge, row.rule)[item]))),
      Dpg.tiles(set, run, item, scores, (tile) => Dpg.zoomTo(run, tile, { pair: set.ids[item] })));
  }

  function together(pair, item, rows) {
    const { set, runs } = pair;
    const questions = set.questions[item].map(Dpg.model.question);
    const tiles = runs.map((run, n) => {
      const text = Dpg.model.states(run, rows[n].judge, rows[n].rule, item);
      return text ? Dpg.model.tilesOf(text, run.tiles) : [];
    });
    const cell = (n, place) => {
      const outcome = Dpg.outcome(tiles[n].map((tile) => tile[place]).join(""));
      return el("td", {}, el("span", { class: `m ${outcome.name}` }, `${outcome.sign} ${outcome.word}`));
    };
    const both = tiles.every((list) => list.length);
    return el("article", { class: "pair", id: "pair" },
      el("h4", {}, Dpg.to({ view: "items", item: set.ids[item], model: runs[0].name }, {}, Dpg.middle(set.ids[item]))),
      set.prompts[item] ? el("blockquote", { class: "prompt", dir: "auto", tabindex: 0, "aria-label": "Prompt" }, set.prompts[item]) : null,
      el("div", { class: "beside" }, rows.map((row, n) => card(pair, n, item, row))),
      both && questions.length ? Dpg.region("Questions, both models", el("table", { class: "answers" },
        el("caption", { class: "sr" }, "Questions with the answers about both models’ tiles"),
        el("thead", {}, el("tr", {}, ["No.", "Question", ...runs.map((run) => Dpg.short(run.name, 30))]
          .map((head) => el("th", { scope: "col", dir: "auto" }, head)))),
        el("tbody", {}, questions.map((q, place) => el("tr", {}, el("td", {}, String(q.qid)),
          el("th", { scope: "row", dir: "auto" }, q.text), cell(0, place), cell(1, place)))))) : null);
  }

  function itemList(data, first, second, state) {
    const pair = gaps(data, first, second);
    if (!pair || !pair.list.length) return [];
    const key = ORDERS[state.lead] ? state.lead : "most";
    const list = pair.list.sort((x, y) => ORDERS[key](x) - ORDERS[key](y) || x.item - y.item);
    const page = Dpg.pages(list.length, SIZE, state.page);
    const some = list.slice(page * SIZE, (page + 1) * SIZE);
    const at = pair.set.ids.indexOf(state.pair);
    const chosen = list.some((entry) => entry.item === at) ? at : some[0].item;
    const pick = (value, text) => el("button", { type: "button", class: "chip", "aria-pressed": String(key === value),
      click: () => Dpg.address.set({ lead: value === "most" ? "" : value, pair: "", page: "" }) }, text);
    return [el("h3", {}, "Items by difference"),
      el("div", { class: "chips", role: "group", "aria-label": "Order" }, pick("most", "largest difference"),
        pick("first", `${Dpg.short(first.name, 30)} ahead`), pick("second", `${Dpg.short(second.name, 30)} ahead`)),
      el("div", { class: "two" },
        el("div", {}, el("ol", { class: "entries" }, some.map(({ item, a, b, gap }) => {
          const id = pair.set.ids[item];
          return el("li", {}, Dpg.to({ view: "compare", first: first.name, second: second.name, pair: id, page: state.page || "" },
            { class: "entry", "aria-current": item === chosen ? "true" : null },
            Dpg.crop(pair.set, pair.runs[gap < 0 ? 0 : 1], item, 0, "thumb"),
            Dpg.lines([Dpg.middle(id), el("span", { class: "value" }, signed(gap, 1))],
              [el("span", { class: "snippet" }, `${points(a, 1)} and ${points(b, 1)}`)])));
        })), Dpg.pager(list.length, SIZE, page, "differences")),
        together(pair, chosen, [first, second]))];
  }

  const WATCHED = ["first", "second", "pair", "lead", "cj", "cr", "page", ...Dpg.CHOSEN];

  Dpg.compare = function (data) {
    const place = document.querySelector("[data-compare]");
    const tables = data.groups.map((group) => `${group.set} ${group.judge} ${group.rule}`);
    const most = Math.max(0, ...tables.map((table) => data.groups.reduce((sum, group, n) => sum + (tables[n] === table ? group.rows.length : 0), 0)));
    if (most < 2) {
      Dpg.nothing("compare");
      return;
    }
    const change = (key) => (value) => Dpg.address.set({ [key]: value, pair: "", page: "" });
    Dpg.part("compare", WATCHED, (everywhere, state, changed) => {
      const chosen = about(data, state);
      const { rows, first, second } = sides(data, state, chosen);
      const own = el("div", { class: "filters" },
        first && second ? [Dpg.select("first", "First", options(rows), first.name, change("first")),
          Dpg.select("second", "Second", options(rows), second.name, change("second")),
          Dpg.button("Swap", () => Dpg.address.set({ first: second.name, second: first.name, page: "" }))] : null,
        chosen.judges.length > 1 ? Dpg.select("cj", "Judge here", chosen.judges.map((name) => [name, name]), chosen.judge, change("cj")) : null,
        chosen.rules.length > 1 ? Dpg.select("cr", "Rule here", chosen.rules.map((name) => [name, name]), chosen.rule, change("cr")) : null);
      if (!first || !second) {
        Dpg.redraw(place, own, el("p", { class: "none" }, `Fewer than two results by ${chosen.judge} under ${chosen.rule}: nothing to compare.`));
        return;
      }
      const unlike = reasons(data, first, second);
      const comparison = find(data, first, second);
      Dpg.redraw(place,
        el("h3", { id: "two-models" }, "Two models side by side"), own,
        el("p", { class: "rule" }, `Judge ${Dpg.short(first.judge, 60)}, rule ${first.rule}.`
          + (unlike.length ? "" : " Comparable: benchmark, items, judge, rule, seeds, size and coverage are alike.")), warning(unlike),
        caveats(data, comparison, [first, second]),
        !comparison && !unlike.some((reason) => reason.decides)
          ? el("p", { class: "none" }, "No item has a score by both: nothing to compare.") : null,
        comparison ? [...verdict(data, comparison, first, second), table(comparison, first, second)] : null,
        comparison ? itemList(data, first, second, state) : null);
      if (changed.has("pair") && state.pair && changed.size > 3 && !state.at) {
        document.getElementById("pair").scrollIntoView({ block: "start", behavior: "instant" });
      }
    });
  };

  const options = (rows) => [...new Set(rows.map((row) => row.name))].map((name) => [name, name]);
})();
