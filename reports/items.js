// The list of all items: filters, order, pages. What is chosen stands in the address.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, svg, select, points } = Dpg;
  const SIZE = 12;
  const ORDERS = [["", "lowest score first"], ["high", "highest score first"], ["benchmark", "benchmark’s order"],
    ["differ", "models differ most first"], ["disagree", "judges disagree most first"]];
  let shown = null;

  const choose = (changes, quiet = false) => Dpg.address.set({ ...changes, page: "" }, quiet);

  function field(name, label, type, state, more) {
    return el("label", { class: "field" }, el("span", {}, label), el("input", {
      type, name, value: state[name] || "", autocomplete: "off", ...more,
      input: (event) => choose({ [name]: event.target.value }, true),
    }));
  }

  function category(set, state) {
    const l1 = [...new Set(set.l1)];
    const options = [["", "any"], ...l1.flatMap((name) =>
      [[name, Dpg.category(name)], ...Dpg.finer(set, name).map((full) => [full, `  ${full}`])])];
    return select("failed", "Failed in category", options, state.failed || "", (failed) => choose({ failed }));
  }

  function choices(view, state) {
    const { set, run } = view;
    const several = set.runs.some((r) => Object.keys(r.judges).length > 1);
    const show = [["", "all items"], ...(several ? [["disagree", "judges disagree"]] : []),
      ...(set.runs.length > 1 ? [["differ", "models differ most"]] : []),
      ...(run.cut.length ? [["cut", "prompt was cut"]] : [])];
    return el("div", { class: "filters" },
      set.runs.length > 1 ? select("model", "Model", view.runs.map((r) => [r.name, r.name]), run.name, (model) => choose({ model, item: "" })) : null,
      field("text", "Text", "search", state),
      set.sources.length > 1 ? select("source", "Source", [["", "any"], ...set.sources.map((s) => [s, s])], state.source || "",
        (source) => choose({ source })) : null,
      set.l2.length ? category(set, state) : null,
      el("fieldset", { class: "field range" }, el("legend", {}, "Score"),
        ...["min", "max"].map((end, n) => el("input", { type: "number", min: 0, max: 100, step: "any",
          name: end, "aria-label": n ? "at most" : "at least", placeholder: n ? "100" : "0",
          value: state[end] || "", input: (event) => choose({ [end]: event.target.value }, true) }))),
      show.length > 1 ? select("show", "Show", show, state.show || "", (value) => choose({ show: value })) : null,
      select("sort", "Order", ORDERS.filter(([key]) => several || key !== "disagree"), state.sort || "",
        (sort) => choose({ sort })),
      Dpg.button("Clear", () => choose({ text: "", source: "", failed: "", min: "", max: "", show: "", sort: "" }),
        { "aria-label": "Clear filters" }));
  }

  // Every model's score of an item as a dot on a line from 0 to 100; the chosen one is larger.
  function strip(view, item) {
    const { set, run, judge, rule } = view;
    const dots = set.runs.map((r) => [r, Dpg.model.scores(set, r, judge, rule)[item]])
      .filter(([, score]) => score !== null)
      .sort(([a], [b]) => (a === run) - (b === run));
    return svg("svg", { class: "strip", viewBox: "-6 0 112 12", "aria-hidden": "true" },
      svg("path", { class: "grid", d: "M0 6H100" }), dots.map(([r, score]) =>
        svg("circle", { class: `r${r.index}`, cx: score, cy: 6, r: r === run ? 5 : 3 })));
  }

  function thumbnail(view, item) {
    const { set, run, judge, rule } = view;
    const text = Dpg.model.states(run, judge, rule, item);
    const tile = text ? Dpg.worstTile(Dpg.model.tilesOf(text, run.tiles)) : 0;
    return Dpg.crop(set, run, item, tile, "thumb");
  }

  function entry(view, item, current) {
    const { set, run, judge, rule } = view;
    const score = Dpg.model.scores(set, run, judge, rule)[item];
    const id = set.ids[item];
    const page = Dpg.address.get().page || "";
    return el("li", {}, Dpg.to({ view: "items", item: id, model: run.name, page }, {
      class: "entry", "aria-current": current === item ? "true" : null, click: () => Dpg.showItem(true),
    }, thumbnail(view, item), Dpg.lines([Dpg.middle(id), el("span", { class: "value" }, points(score, 1))],
      [el("span", { class: "snippet", dir: "auto" }, set.prompts[item].slice(0, 120)), strip(view, item)])));
  }

  function words(view) {
    if (!view.set.ids.length) return "The runs of this report have no items.";
    if (view.run.absent.length === view.set.ids.length) return "This run has no items.";
    return "No item fits this choice.";
  }

  function list(place, view, state) {
    const page = Dpg.pages(shown.length, SIZE, state.page);
    const some = shown.slice(page * SIZE, (page + 1) * SIZE);
    const current = view.set.ids.indexOf(state.item);
    const chosen = current >= 0 ? current : some[0];
    Dpg.redraw(place,
      el("p", { class: "found", role: "status" }, view.set.ids.length === 1 && shown.length ? "1 item: the report has no other" : Dpg.counted(shown.length, "item")),
      shown.length ? el("ol", { class: "entries" }, some.map((item) => entry(view, item, chosen)))
        : el("p", { class: "none" }, words(view)),
      Dpg.pager(shown.length, SIZE, page, "items"));
  }

  // Items before and after one in the list as it is filtered now.
  Dpg.neighbours = (item) => {
    const at = shown ? shown.indexOf(item) : -1;
    return at < 0 ? [] : [shown[at - 1], shown[at + 1]];
  };
  // The page of the list that has an item, as the address says it.
  Dpg.pageOf = (item) => {
    const at = shown ? shown.indexOf(item) : -1;
    return at < SIZE ? "" : String(Math.floor(at / SIZE) + 1);
  };

  const LISTED = [...Dpg.CHOSEN, "model", "text", "source", "failed", "min", "max", "show", "sort"];

  Dpg.items = function (data) {
    const section = document.getElementById("items");
    if (!data.sets.length) {
      Dpg.nothing("items");
      return;
    }
    const filters = section.querySelector("[data-filters]");
    const place = section.querySelector("[data-list]");
    Dpg.part("items", [...LISTED, "item", "page"], (view, state, changed) => {
      const typing = filters.contains(document.activeElement)
        && document.activeElement.matches("input[type=search], input[type=number]");
      if (!shown || !filters.children.length || !changed.size || LISTED.some((key) => changed.has(key))) {
        shown = Dpg.model.select(view, state);
        if (!typing) Dpg.redraw(filters, view.set.ids.length ? choices(view, state) : null);
      }
      // An item that a link names is on its own page of the list, whatever page the link says.
      const at = shown.indexOf(view.set.ids.indexOf(state.item));
      const page = changed.has("item") && !changed.has("page") && at >= 0 ? Dpg.pageOf(shown[at]) : state.page;
      list(place, view, { ...state, page });
    });
    Dpg.itemDetail(data, section.querySelector("[data-item]"), (state) => {
      const page = Dpg.pages(shown.length, SIZE, state.page);
      return shown[page * SIZE];
    });
  };
})();
