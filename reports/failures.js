// From a number to the pictures: the questions of a category that a model failed, worst first, as
// cards or as a contact sheet to be printed.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, points } = Dpg;
  const SIZES = { cards: 12, sheet: 48 };

  // What became of a question on each image, as a mark in the corner of each.
  function marks(letters, tiles, separate) {
    const grid = (separate ? "" : { 1: "one", 2: "pairwise", 4: "four" }[tiles]) || "many";
    return el("span", { class: `fates ${grid}`, "aria-hidden": "true" }, Array.from(letters, (letter) => {
      const kind = Dpg.model.KINDS[letter];
      return el("span", { class: `m ${kind.name}` }, kind.sign);
    }));
  }

  function fate(letters) {
    const bad = Array.from(letters).filter((letter) => "n?z".includes(letter)).length;
    if (letters.length === 1) return Dpg.model.KINDS[letters].word;
    return bad === letters.length ? `fails on all ${bad}` : `fails on ${bad} of ${letters.length}`;
  }

  function card(chosen, { item, n, score }) {
    const { set, run, judge, rule } = chosen;
    const q = Dpg.model.question(set.questions[item][n]);
    const tiles = Dpg.model.tilesOf(Dpg.model.states(run, judge, rule, item), run.tiles);
    const letters = tiles.map((tile) => tile[n]).join("");
    const outcome = Dpg.outcome(letters);
    const first = Math.max(0, Array.from(letters).findIndex((letter) => "n?z".includes(letter)));
    const separate = Dpg.model.separate(run, item);
    const there = Dpg.model.picture(set, run, item, first);
    return el("li", { class: "failure" },
      el("button", { type: "button", class: "enlarge", disabled: !there,
        "aria-label": `Enlarge ${set.ids[item]}: ${q.text}`,
        click: () => Dpg.zoomTo(run, first, { item: set.ids[item] }) }, Dpg.crop(set, run, item, separate ? first : null),
          marks(letters, run.tiles, separate)),
      el("p", { class: "asked", dir: "auto" }, q.text, Dpg.right(q)),
      el("p", { class: "fate" }, el("span", { class: `m ${outcome.name}` }, fate(letters)), " ",
        el("span", { class: "count" }, Dpg.category(set.l2[q.category]))),
      el("p", { class: "which" }, Dpg.to({ view: "items", item: set.ids[item], model: run.name, failed: "", sort: "" }, { class: "id-link" },
        Dpg.middle(set.ids[item])), el("span", { class: "value" }, points(score, 1))));
  }

  function categories({ set }) {
    const l1 = [...new Set(set.l1)];
    return [["", "all categories"], ...l1.flatMap((name) => [[name, Dpg.category(name)],
      ...Dpg.finer(set, name).map((full) => [full, `  ${full}`])])];
  }

  function sentence(data, chosen, state, list) {
    const row = Dpg.model.rowOf(data, chosen, chosen.run);
    const figure = row && [...row.l1, ...row.l2].find(([name]) => name === state.failed);
    const what = state.failed ? ` in ${state.failed}` : "";
    const questions = Dpg.counted(list.length, "question");
    return el("p", { class: "finding" }, Dpg.name(chosen.run), ` fails ${questions}${what} on one image or more`,
      figure && figure[1] !== null ? `; it scores ${points(figure[1])} there, over ${figure[5].toLocaleString("en")}.` : ".");
  }

  // Why nothing can be shown of a run; empty where its answers are at hand.
  function missing({ set, run, judge }) {
    if (!set.ids.length) return "The runs of this report have no items.";
    if (run.absent.length === set.ids.length) return "This run has no items.";
    if (!run.judges[judge] || !run.judges[judge].answers.some(Dpg.model.answered)) {
      return "The answers of this run are not at hand, so what failed cannot be shown.";
    }
    return "";
  }

  function print() {
    document.body.classList.add("sheet-only");
    window.addEventListener("afterprint", () => document.body.classList.remove("sheet-only"), { once: true });
    window.print();
  }

  Dpg.failures = function (data) {
    const place = document.querySelector("[data-failures]");
    if (!data.sets.length) {
      Dpg.nothing("failures");
      return;
    }
    Dpg.part("failures", [...Dpg.CHOSEN, "model", "failed", "page", "as"], (chosen, state) => {
      const { set, run, judge, rule } = chosen;
      const as = state.as === "sheet" ? "sheet" : "cards";
      const list = Dpg.model.failures(chosen, state.failed);
      const page = Dpg.pages(list.length, SIZES[as], state.page);
      const some = list.slice(page * SIZES[as], (page + 1) * SIZES[as]);
      const choose = (changes) => Dpg.address.set({ ...changes, page: "" });
      const mode = (value, text) => el("button", { type: "button", class: "chip", "aria-pressed": String(as === value),
        click: () => choose({ as: value === "cards" ? "" : value }) }, text);
      const why = missing(chosen);
      Dpg.redraw(place, why ? null : sentence(data, chosen, state, list),
        el("div", { class: "filters" },
          set.runs.length > 1 ? Dpg.select("model", "Model", chosen.runs.map((r) => [r.name, r.name]), run.name, (model) => choose({ model })) : null,
          set.l2.length ? Dpg.select("failed", "Category", categories(chosen), state.failed || "", (failed) => choose({ failed })) : null,
          why ? null : el("div", { class: "chips", role: "group", "aria-label": "Form" }, mode("cards", "cards"), mode("sheet", "contact sheet")),
          as === "sheet" && list.length ? Dpg.button("Print this sheet", print) : null),
        el("p", { class: "sheet-title" }, `${run.name}: failed questions${state.failed ? ` in ${state.failed}` : ""}, judge ${judge}, rule ${rule}; `
          + `${page * SIZES[as] + 1} to ${page * SIZES[as] + some.length} of ${list.length}, worst first`),
        some.length ? el("ol", { class: `failed-list ${as}`, start: page * SIZES[as] + 1 }, some.map((entry) => card(chosen, entry)))
          : el("p", { class: "none" }, why || "Nothing failed here."),
        Dpg.pager(list.length, SIZES[as], page, "failures"));
    });
  };
})();
