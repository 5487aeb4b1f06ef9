// The list of all items: filters, order, pages. What is chosen stands in the address.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, svg, select, points } = Dpg;
  const SIZE = 12;
  const ORDERS = [["", "benchmark’s order"], ["low", "lowest score first"], ["high", "highest score first"],
    ["differ", "models differ most first"], ["disagree", "judges disagree most first"]];
  let page = 0;
  let shown = null;

  const choose = (changes) => {
    page = 0;
    Dpg.address.set(changes);
  };

  function field(name, label, type, state, more) {
    return el("label", { class: "field" }, el("span", {}, label), el("input", {
      type, name, value: state[name] || "", autocomplete: "off", ...more,
      input: (event) => choose({ [name]: event.target.value }),
    }));
  }

  function category(set, state) {
    const l1 = [...new Set(set.l1)];
    const options = [["", "any"], ...l1.flatMap((name) =>
      [[name, name], ...set.l2.filter((_, n) => set.l1[n] === name && set.l2[n] !== name)
        .map((full) => [full, `  ${full}`])])];
    return select("failed", "Failed in category", options, state.failed || "", (failed) => choose({ failed }));
  }

  function choices(sets, view, state) {
    const { set, run, judge, rule } = view;
    const pick = (name, label, values, chosen) => values.length > 1
      ? select(name, label, values.map((v) => [v, v]), chosen, (value) => choose({ [name]: value })) : null;
    const judges = Dpg.model.judges(set);
    const several = set.runs.some((r) => Object.keys(r.judges).length > 1);
    const show = [["", "all items"], ...(several ? [["disagree", "judges disagree"]] : []),
      ...(set.runs.length > 1 ? [["differ", "models differ most"]] : [])];
    return el("div", { class: "filters" },
      sets.length > 1 ? select("benchmark", "Benchmark", sets.map((s) => [s.benchmark, s.benchmark]),
        set.benchmark, (benchmark) => choose({ benchmark, item: "" })) : null,
      pick("model", "Model", set.runs.map((r) => r.name), run.name),
      pick("judge", "Judge", judges, judge),
      pick("rule", "Rule", Dpg.model.rules(set, judge), rule),
      field("text", "Text", "search", state),
      select("source", "Source", [["", "any"], ...set.sources.map((s) => [s, s])], state.source || "",
        (source) => choose({ source })),
      set.l2.length ? category(set, state) : null,
      el("fieldset", { class: "field range" }, el("legend", {}, "Score"),
        ...["min", "max"].map((end, n) => el("input", { type: "number", min: 0, max: 100, step: "any",
          name: end, "aria-label": n ? "at most" : "at least", placeholder: n ? "100" : "0",
          value: state[end] || "", input: (event) => choose({ [end]: event.target.value }) }))),
      show.length > 1 ? select("show", "Show", show, state.show || "", (value) => choose({ show: value })) : null,
      select("sort", "Order", ORDERS.filter(([key]) => several || key !== "disagree"), state.sort || "",
        (sort) => choose({ sort })),
      el("button", { type: "button", class: "plain", click: () => choose({ text: "", source: "", failed: "",
        min: "", max: "", show: "", sort: "" }) }, "Clear filters"));
  }

  // Every model's score of an item as a dot on a line from 0 to 100; the chosen one is larger.
  function strip(view, item) {
    const { set, run, judge, rule } = view;
    const dots = set.runs.map((r) => [r, Dpg.model.scores(set, r, judge, rule)[item]])
      .filter(([, score]) => score !== null)
      .sort(([a], [b]) => (a === run) - (b === run));
    return svg("svg", { class: "strip", viewBox: "0 0 104 10", "aria-hidden": "true" },
      svg("path", { class: "grid", d: "M2 5H102" }), dots.map(([r, score]) =>
        svg("circle", { class: `c${r.colour}`, cx: 2 + score, cy: 5, r: r === run ? 4.2 : 2.6 })));
  }

  function entry(view, item, state) {
    const { set, run, judge, rule } = view;
    const score = Dpg.model.scores(set, run, judge, rule)[item];
    const id = set.ids[item];
    return el("li", {}, el("a", {
      href: Dpg.address.link({ item: id, model: run.name }),
      "aria-current": state.item === id ? "true" : null,
      click: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        Dpg.address.set({ item: id, model: run.name }, true);
        Dpg.showItem(true);
      },
    }, el("span", { class: "id" }, el("bdi", {}, Dpg.short(id, 60))),
    el("span", { class: "value" }, points(score, 1)),
    el("span", { class: "snippet", dir: "auto" }, Dpg.short(set.prompts[item], 90)), strip(view, item)));
  }

  function list(place, view, state) {
    page = Math.min(page, Math.max(0, Math.ceil(shown.length / SIZE) - 1));
    const turn = (to) => {
      const label = document.activeElement.getAttribute("aria-label");
      page = to;
      list(place, view, Dpg.address.get());
      const again = place.querySelector(`button[aria-label="${label}"]`);
      if (again) (again.disabled ? place.querySelector("button:enabled") || place : again).focus();
    };
    const some = shown.slice(page * SIZE, (page + 1) * SIZE);
    place.replaceChildren(
      el("p", { class: "found", role: "status" }, shown.length === 1 ? "1 item" : `${shown.length} items`),
      shown.length ? el("ol", { class: "entries" }, some.map((item) => entry(view, item, state)))
        : el("p", { class: "none" }, "No item fits this choice."),
      shown.length > SIZE ? Dpg.pager(shown.length, SIZE, page, turn, "items") : "");
  }

  // Items before and after one in the list as it is filtered now.
  Dpg.neighbours = (item) => {
    const at = shown ? shown.indexOf(item) : -1;
    return at < 0 ? [] : [shown[at - 1], shown[at + 1]];
  };

  const LISTED = ["benchmark", "model", "judge", "rule", "text", "source", "failed", "min", "max", "show", "sort"];

  Dpg.items = function (data) {
    const section = document.getElementById("items");
    if (!section || !data.sets.some((set) => set.ids.length)) return;
    section.hidden = false;
    const sample = document.getElementById("gallery");
    if (sample) sample.hidden = true;
    const filters = section.querySelector("[data-filters]");
    const place = section.querySelector("[data-list]");
    let last = null;

    function apply(state, changed) {
      const view = Dpg.model.view(data.sets, state);
      const typing = filters.contains(document.activeElement)
        && document.activeElement.matches("input[type=search], input[type=number]");
      if (!last || LISTED.some((key) => changed.has(key)) || view.set !== last.set) {
        shown = Dpg.model.select(view, state);
        const name = document.activeElement && document.activeElement.name;
        if (!typing) {
          filters.replaceChildren(choices(data.sets, view, state));
          const again = name && filters.querySelector(`[name="${name}"]`);
          if (again) again.focus();
        }
      }
      if (changed.has("item") && state.item) {
        const at = shown.indexOf(view.set.ids.indexOf(state.item));
        if (at >= 0) page = Math.floor(at / SIZE);
      }
      list(place, view, state);
      last = view;
    }
    Dpg.address.listen(apply);
    Dpg.itemDetail(data, section.querySelector("[data-item]"), () => shown);
  };
})();
