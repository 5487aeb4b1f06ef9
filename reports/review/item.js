// One item: its prompt with the words that questions name, the graph, and the questions to decide on.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, state } = Dpg;
  const KINDS = ["entity - whole", "entity - part", "entity - state", "attribute - color", "attribute - shape",
    "attribute - size", "attribute - texture", "attribute - other", "relation - spatial", "relation - non-spatial",
    "global -", "other - count", "other - text"];

  // What a question is in the drawing (`Dpg.graph` asks this).
  Dpg.outcome = (row) => row.struck ? { name: "struck", sign: "✕", word: "struck" }
    : row.flags.length + row.findings.length ? { name: "some", sign: "!", word: Dpg.counted(row.flags.length + row.findings.length, "flag") }
      : row.edited ? { name: "edited", sign: "✎", word: "edited" } : { name: "plain", sign: "", word: row.category };

  function light(place, qids) {
    for (const mark of place.querySelectorAll("mark")) {
      mark.classList.toggle("lit", mark.dataset.qids.split(" ").some((qid) => qids.includes(qid)));
    }
    for (const box of place.querySelectorAll("[data-qid]")) box.classList.toggle("lit", qids.includes(box.dataset.qid));
  }

  const over = (place, qids) => ({
    mouseenter: () => light(place, qids), mouseleave: () => light(place, []),
    focusin: () => light(place, qids), focusout: () => light(place, []),
  });

  function prompt(place, item) {
    const asked = item.rows.filter((row) => !row.struck)
      .map((row) => ({ qid: row.qid, subject: `${state.subjectOf(row.tuple)}, ${row.cells[item.place.keywords]}` }));
    const pieces = Dpg.spans(item.text, asked).map(({ text, qids }) => qids.length
      ? el("mark", { "data-qids": qids.join(" "), title: `Question ${state.listed(qids)}`, ...over(place, qids.map(String)) }, text)
      : text);
    return el("section", { class: "words", "aria-label": "Prompt" }, el("h3", {}, "Prompt"),
      Dpg.region("The prompt's text", el("p", { class: "prompt", dir: "auto" }, pieces)),
      item.wide.length ? el("ul", { class: "flags" }, item.wide.map(({ row, flag }) => chip(flag, (accept) => accept(row, flag)))) : null);
  }

  let act = {}; // what the page does when something is decided; set by `Dpg.item`

  function chip(flag, accept) {
    return el("li", {}, el("span", { class: "flag", dir: "auto" }, flag), " ",
      Dpg.button("It is fine", () => accept(act.accept), { class: "plain small", "aria-label": `It is fine: ${flag}` }));
  }

  function drawing(place, item) {
    const seen = new Set();
    const rows = item.rows.filter((row) => !seen.has(row.qid) && seen.add(row.qid)).map((row) => ({ ...row,
      text: row.question, subject: state.subjectOf(row.tuple) || row.question, parents: row.struck ? row.named : row.parents }));
    Dpg.places(rows);
    return Dpg.graph(rows, (n) => rows[n], "Question graph", (row) => over(place, [String(row.qid)]));
  }

  const words = (row) => row.parents.length ? `rests on ${state.listed(row.parents)}` : "rests on nothing";

  function question(place, item, row) {
    if (act.editing === row.n) return form(item, row);
    const under = row.struck ? [] : state.below(item, row);
    const orphans = row.struck ? item.rows.filter((other) => !other.struck && other.lost.includes(row.qid)) : [];
    const button = (text, what, more = {}) => Dpg.button(text, what, { class: "plain small", name: `${text} ${row.n}`,
      "aria-label": `${text}: question ${row.qid}`, ...more });
    return el("li", { class: `ask${row.struck ? " struck" : ""}`, "data-qid": row.qid, "data-n": row.n, ...over(place, [String(row.qid)]) },
      el("p", { class: "asked" }, el("span", { class: "qid" }, `${row.qid}. `),
        row.struck ? el("s", { dir: "auto" }, row.question) : el("span", { dir: "auto" }, row.question),
        row.struck ? el("span", { class: "sr" }, " (struck)") : null),
      el("p", { class: "what" }, el("span", {}, row.category || "no category"), " · ", el("bdi", {}, state.subjectOf(row.tuple)),
        " · ", row.struck ? "struck" : words(row), row.lost.length ? ` (${state.listed(row.lost)} was struck)` : "",
        row.edited ? " · edited" : ""),
      row.struck && orphans.length ? el("p", { class: "told" }, state.fate(item, row)) : null,
      row.struck || !(row.flags.length + row.findings.length) ? null : el("ul", { class: "flags" },
        row.flags.map((flag) => chip(flag, (accept) => accept(row.n, flag))),
        row.findings.map(([severity, message]) => el("li", {}, el("span", { class: "flag", dir: "auto" }, `${severity}: ${message}`)))),
      el("p", { class: "acts" },
        row.struck ? button("Restore", () => act.restore([row.n])) : button("Strike", () => act.strike([row.n])),
        row.struck ? null : button("Edit", () => act.edit(row.n)),
        under.length ? button(`Strike with the ${under.length} below`, () => act.strike([row.n, ...under.map((other) => other.n)])) : null,
        orphans.length ? button(`Strike ${orphans.length === 1 ? "that" : "those"} too`, () => act.strike(orphans.map((other) => other.n))) : null));
  }

  function field(name, label, control, fault) {
    const id = `fault-${name}`;
    if (fault) {
      control.setAttribute("aria-invalid", "true");
      control.setAttribute("aria-describedby", id);
    }
    return el("div", {}, el("label", { class: "field" }, el("span", {}, label), control),
      fault ? el("p", { class: "fault", id, role: "alert" }, fault) : null);
  }

  function form(item, row) {
    const kinds = [...new Set([...KINDS, row.category])];
    const input = (name, value) => el("input", { type: "text", name, value, dir: "auto", autocomplete: "off" });
    const text = input("question", row.question);
    const kind = el("select", { name: "kind" }, kinds.map((value) => el("option", { value, selected: value === row.category }, value || "none")));
    const subject = input("subject", state.subjectOf(row.tuple));
    const parents = input("parents", row.parents.join(", "));
    const place = el("form", { class: "edit" });
    const values = () => ({ question: text.value, kind: kind.value, subject: subject.value, parents: parents.value });
    const draw = (wrong) => place.replaceChildren(
      field("question", `Question ${row.qid}`, text, wrong.question),
      field("kind", "Category", kind), field("subject", "What it is about", subject, wrong.subject),
      field("parents", "Rests on (numbers of earlier questions)", parents, wrong.parents),
      el("p", { class: "acts" }, el("button", { type: "submit", class: "plain" }, "Save"),
        Dpg.button("Cancel", () => act.cancel(row.n))));
    place.addEventListener("submit", (event) => {
      event.preventDefault();
      const wrong = state.faults(item, row, values());
      for (const control of [text, subject, parents]) control.removeAttribute("aria-invalid");
      draw(wrong);
      const first = Object.keys(wrong)[0];
      if (first) place.querySelector(`[name="${first}"]`).focus();
      else act.save(row, state.cells(row, item.place, values()));
    });
    place.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { event.stopPropagation(); act.cancel(row.n); }
    });
    draw({});
    return el("li", { class: "ask", "data-qid": row.qid, "data-n": row.n }, place);
  }

  // Draws the item; `acts` has strike, restore, edit, save, cancel, accept, done, and `editing`.
  Dpg.item = function (place, item, acts) {
    act = acts;
    const graph = drawing(place, item);
    const standing = item.rows.filter((row) => !row.struck).length;
    const title = el("h2", { tabindex: -1, "data-title": true }, Dpg.middle(item.id));
    Dpg.redraw(place,
      el("div", { class: "item-head" }, title, el("p", { class: "steps" },
        Dpg.button("← Previous", acts.previous, { "aria-label": "Previous item" }),
        Dpg.button("Next →", acts.next, { "aria-label": "Next item" }),
        el("button", { type: "button", class: "chip", "aria-pressed": String(item.done), click: acts.done }, "Reviewed"))),
      item.gone ? el("p", { class: "caution" }, "No question is left: this item will not be in the file.") : null,
      el("div", { class: "beside-graph" }, prompt(place, item),
        el("section", { "aria-label": "Graph" }, el("h3", {}, "Graph"), Dpg.region("Question graph", graph))),
      el("section", { "aria-label": "Questions" },
        el("h3", {}, "Questions ", el("span", { class: "count" }, standing === item.rows.length
          ? `${standing}` : `${standing} of ${item.rows.length}`)),
        el("ol", { class: "asks" }, item.rows.map((row) => question(place, item, row)))));
    graph.settle();
  };
})();
