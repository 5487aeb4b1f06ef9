// One item: its prompt, a model's images, the question graph as judges and a rule saw them.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, points } = Dpg;

  // The prompt with the words marked that its questions ask about.
  Dpg.prompt = function (text, questions) {
    const pieces = Dpg.spans(text, questions).map((piece) => piece.qids.length
      ? el("mark", { "data-qids": ` ${piece.qids.join(" ")} `,
        title: `question ${piece.qids.join(", ")}` }, piece.text)
      : piece.text);
    return el("blockquote", { class: "prompt", dir: "auto", tabindex: 0, "aria-label": "Prompt" }, pieces);
  };

  // Lights up a question's words and boxes wherever the item shows them.
  function light(place, qid) {
    for (const node of place.querySelectorAll("[data-qids], [data-qid]")) {
      const on = qid !== null && (node.dataset.qid === String(qid)
        || (node.dataset.qids || "").includes(` ${qid} `));
      node.classList.toggle("lit", on);
    }
  }

  // The right answer to a question, where it is not yes.
  Dpg.right = (q) => (q.right === "yes" ? null : el("span", { class: "count", dir: "auto" }, ` (right: ${q.right})`));

  // An answer; the judge's own words where they are neither, or where yes is not what is right.
  Dpg.mark = function (letter, words, right = "yes") {
    const kind = Dpg.model.KINDS[letter];
    const other = right !== "yes" && "ynz".includes(letter);
    const word = other && letter !== "z" ? "" : ` ${kind.word}`;
    const raw = letter === "?" || other ? ` “${words}”` : "";
    return el("span", { class: `m ${kind.name}` }, `${kind.sign}${word}${raw}`);
  };

  function modelChoice(view, item) {
    const { set, run, judge, rule } = view;
    const runs = view.runs.filter((r) => !r.absent.includes(item));
    if (runs.length < 2) return null;
    const buttons = runs.map((r) => el("button", {
      type: "button", class: "chip", "aria-pressed": String(r === run),
      click: () => Dpg.address.set({ item: set.ids[item], model: r.name, page: Dpg.address.get().page || "" }),
    }, Dpg.swatch(r), Dpg.name(r, 40), el("strong", {}, points(Dpg.model.scores(set, r, judge, rule)[item], 1))));
    return el("div", { class: "chips", role: "group", "aria-label": "Model" }, buttons);
  }

  function tileChoice(run, chosen) {
    if (run.tiles < 2) return null;
    const option = (value, text) => el("button", { type: "button", class: "chip",
      "aria-pressed": String((value || 0) === (chosen || 0)),
      click: () => Dpg.address.set({ tile: value ? String(value) : "" }, true) }, text);
    return el("div", { class: "chips", role: "group", "aria-label": "Images in the graph" },
      option(0, "all images"), Array.from({ length: run.tiles }, (_, n) => option(n + 1, `image ${n + 1}`)));
  }

  // How each image's score comes about, in figures.
  function scoreTable(tallies, failure, score) {
    const heads = ["", "Hold", "No", "Zeroed by a parent", "Invalid", "Questions", "Score"];
    const rows = tallies.map((tile, n) => el("tr", {}, el("th", { scope: "row" }, `image ${n + 1}`),
      [tile.holds, tile.no, tile.zeroed, tile.invalid, tile.asked].map((number) =>
        el("td", { class: "num" }, String(number))),
      el("td", { class: "num" }, failure ? "—" : `${tile.holds} / ${tile.asked} = ${points(tile.score)}`)));
    const end = failure ? `no score: ${failure}` : `mean of the images = ${points(score)}`;
    return Dpg.region("How the score comes about",
      el("table", { class: "answers account" }, el("caption", {}, "How the score comes about"),
        el("thead", {}, el("tr", {}, heads.map((head, n) => n
          ? el("th", { scope: "col", class: "num" }, head) : el("td", {}, head)))),
        el("tbody", {}, rows, el("tr", { class: "sum" }, el("th", { scope: "row" }, "item"),
          el("td", { class: "num", colspan: 6 }, end)))));
  }

  // The questions with the raw answers of the chosen judge; of others beside it, where there are any.
  function answers(view, item, questions, tiles, chosen, hover) {
    const { set, run, judge, rule } = view;
    const size = questions.length;
    const others = Object.keys(run.judges).filter((name) => name !== judge && run.judges[name].answers[item]);
    const beside = (name, q, n) => {
      const all = Dpg.model.tilesOf(Dpg.model.states(run, name, rule, item), run.tiles).map((tile) => tile[n]).join("");
      const outcome = Dpg.outcome(all);
      const mine = tiles.map((tile) => tile[n]).join("");
      const unlike = Array.from(all).some((letter, t) => (letter === "y" || letter === "z") !== (mine[t] === "y" || mine[t] === "z"));
      return el("td", { class: unlike ? "unlike" : null }, el("span", { class: `m ${outcome.name}` }, `${outcome.sign} ${outcome.word}`));
    };
    const rows = questions.map((q, n) => el("tr", { "data-qid": q.qid, ...hover(q) },
      el("td", { class: "num" }, String(q.qid)), el("th", { scope: "row", dir: "auto" }, q.text, Dpg.right(q)),
      el("td", {}, set.l2[q.category]), el("td", {}, q.parents.join(", ") || "—"),
      tiles.map((tile, t) => el("td", { class: chosen && chosen !== t + 1 ? "pale" : null },
        Dpg.mark(tile[n], Dpg.model.words(run, judge, item, t * size + n), q.right))),
      others.map((name) => beside(name, q, n))));
    return Dpg.region("Questions and answers",
      el("table", { class: "answers" }, el("caption", {}, others.length
        ? `Questions, the raw answers of ${Dpg.short(judge, 40)}, and other judges’ beside them` : "Questions, and the judge’s raw answers"),
      el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "num" }, "No."),
        ["Question", "Category", "Rests on"].map((head) => el("th", { scope: "col" }, head)),
        tiles.map((_, t) => el("th", { scope: "col" }, `Image ${t + 1}`)),
        others.map((name) => el("th", { scope: "col", dir: "auto" }, Dpg.short(name, 30))))),
      el("tbody", {}, rows)));
  }

  function heading(view, item) {
    const { set, run } = view;
    const [before, after] = Dpg.neighbours(item);
    const step = (to, text, name) => el("button", { type: "button", class: "step", "aria-label": name,
      disabled: to === undefined, click: () => Dpg.address.set({ item: set.ids[to], model: run.name, page: Dpg.pageOf(to) }) }, text);
    return el("div", { class: "item-head" },
      el("h3", { id: "item-title", tabindex: -1 }, Dpg.middle(set.ids[item]), " ",
        el("span", { class: "count" }, set.sources[set.source[item]])),
      el("div", { class: "pager" }, step(before, "←", "Previous item"), step(after, "→", "Next item")));
  }

  const LEGEND = [["yes", "✓ yes", "the question holds"], ["no", "✗ no", ""],
    ["zeroed", "⊘ zeroed", "yes, but a question that it rests on failed"],
    ["other", "? invalid", "neither yes nor no: counts as no"], ["none", "· not answered", ""]];
  const legend = () => el("ul", { class: "legend", "aria-label": "Signs" }, LEGEND.map(([name, sign, about]) =>
    el("li", {}, el("span", { class: `m ${name}` }, sign), about ? ` ${about}` : "")));

  // Why there is no graph.
  function noAnswers({ set, run, judge }, item) {
    if (!set.questions[item].length) return "The questions of this item are not at hand.";
    if (run.judges[judge] || !(run.scores[judge])) return "The judge’s answers about this item are not at hand.";
    return "This judge’s score is not made of answers to these questions.";
  }

  function body(view, item, state, place) {
    const { set, run, judge, rule } = view;
    const questions = set.questions[item].map(Dpg.model.question);
    const text = Dpg.model.states(run, judge, rule, item);
    const tiles = Dpg.model.answered(text) ? Dpg.model.tilesOf(text, run.tiles) : [];
    const verdicts = (run.judges[judge] || { rules: {} }).rules[rule];
    const failure = verdicts ? verdicts.failures[item] : undefined;
    const wanted = Number(state.tile), chosen = wanted >= 1 && wanted <= run.tiles ? wanted : 0;
    const tallies = Dpg.model.tallies(set, run, judge, rule, item);
    const hover = (q) => ({ mouseenter: () => light(place, q.qid), mouseleave: () => light(place, null) });
    const letters = (n) => (chosen ? tiles[chosen - 1][n] : tiles.map((tile) => tile[n]).join(""));
    const what = chosen ? `image ${chosen}` : "all images";
    const score = Dpg.model.scores(set, run, judge, rule)[item];
    const graph = questions.length && tiles.length ? Dpg.graph(questions, letters,
      `Questions of ${set.ids[item]}, ${what}; the table of questions says which rest on which`, hover) : null;
    const parts = [
      heading(view, item),
      set.prompts[item] ? Dpg.prompt(set.prompts[item], questions) : el("p", { class: "caution" }, set.missing || "This item has no prompt."),
      modelChoice(view, item),
      el("p", { class: "verdict" }, Dpg.name(run), ": ", el("strong", {}, points(score)),
        el("span", { class: "count" }, ` judge ${Dpg.short(judge, 40)}, rule ${rule}`),
        failure ? el("span", { class: "flag" }, `no score: ${failure}`) : null),
      el("div", { class: "see" },
        Dpg.tiles(set, run, item, tallies.map((tile) => tile.score), (tile) => Dpg.zoomTo(run, tile,
          { item: set.ids[item], model: run.name })),
        graph ? el("div", { class: "graph-part" }, tileChoice(run, chosen), Dpg.region("Question graph", graph), legend())
          : el("p", { class: "caution" }, noAnswers(view, item))),
      tallies.length ? scoreTable(tallies, failure, score) : null,
      tiles.length ? answers(view, item, questions, tiles, chosen, hover) : null,
    ];
    return { parts, graph };
  }

  Dpg.itemDetail = function (data, place, first) {
    Dpg.showItem = (focus) => {
      const title = place.querySelector("h3");
      if (!title) return;
      if (focus) title.focus({ preventScroll: true });
      const edge = place.getBoundingClientRect();
      if (edge.top < 0 || edge.top > window.innerHeight * 0.6) place.scrollIntoView({ block: "start", behavior: "instant" });
    };
    let opened = false;
    Dpg.part("items", [...Dpg.CHOSEN, "item", "model", "tile", "page", "text", "source", "failed", "min", "max", "show", "sort"], (view, state) => {
      const asked = Boolean(state.item);
      const at = view.set.ids.indexOf(state.item);
      const item = at >= 0 ? at : first(state);
      if (asked && at < 0) {
        Dpg.redraw(place, el("p", { class: "caution" }, `This report has no item “${Dpg.short(state.item, 80)}”.`));
      } else if (item === undefined) {
        place.replaceChildren();
      } else {
        const { parts, graph } = body(view, item, state, place);
        Dpg.redraw(place, parts);
        if (graph) graph.settle();
      }
      if (asked && !opened && !state.at) Dpg.showItem(false);
      opened = true;
    });
  };
})();
