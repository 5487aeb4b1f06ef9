// One item: its prompt, a model's tiles, the question graph as a judge and a rule saw them.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, points } = Dpg;
  const GRIDS = { 1: "one", 2: "pairwise", 4: "four" };

  // The prompt with the words marked that its questions ask about.
  function prompt(text, questions) {
    const pieces = Dpg.spans(text, questions).map((piece) => piece.qids.length
      ? el("mark", { "data-qids": ` ${piece.qids.join(" ")} `,
        title: `question ${piece.qids.join(", ")}` }, piece.text)
      : piece.text);
    return el("blockquote", { class: "prompt", dir: "auto", tabindex: 0, "aria-label": "Prompt" }, pieces);
  }

  // Lights up a question's words and boxes wherever the item shows them.
  function light(place, qid) {
    for (const node of place.querySelectorAll("[data-qids], [data-qid]")) {
      const on = qid !== null && (node.dataset.qid === String(qid)
        || (node.dataset.qids || "").includes(` ${qid} `));
      node.classList.toggle("lit", on);
    }
  }

  Dpg.mark = function (letter, words) {
    const kind = Dpg.model.KINDS[letter];
    const raw = letter === "?" ? ` “${words}”` : "";
    return el("span", { class: `m ${kind.name}` }, `${kind.sign} ${kind.word}${raw}`);
  };

  // A grid's tiles as buttons, each cut from the one picture.
  Dpg.tiles = function (set, run, item, scores, chosen, pick) {
    const address = Dpg.model.picture(set, run, item);
    const [width, height] = run.pictures.size;
    const boxes = Array.from({ length: run.tiles }, (_, tile) => {
      const image = address
        ? el("img", { src: address, alt: "", loading: "lazy", decoding: "async", class: `at${tile}` })
        : el("span", { class: "empty" }, run.replayed ? "replayed: no picture" : "no picture");
      const box = el("span", { class: "crop" }, image);
      box.style.aspectRatio = run.tiles === 2 ? `${width / 2} / ${height}` : `${width} / ${height}`;
      return el("button", { type: "button", class: "tile", "aria-pressed": String(chosen === tile + 1),
        click: () => pick(chosen === tile + 1 ? "" : String(tile + 1)) },
      box, el("span", { class: "under" }, `tile ${tile + 1}`, el("strong", {}, points(scores[tile], 1))));
    });
    return el("div", { class: `tiles ${GRIDS[run.tiles]}`, role: "group",
      "aria-label": `What ${Dpg.short(run.name, 60)} drew, tile by tile` }, boxes);
  };

  function modelChoice(view, item) {
    const { set, run, judge, rule } = view;
    const buttons = set.runs.filter((r) => !r.absent.includes(item)).map((r) => el("button", {
      type: "button", class: "chip", "aria-pressed": String(r === run),
      click: () => Dpg.address.set({ model: r.name }),
    }, el("span", { class: `swatch c${r.colour}`, "aria-hidden": "true" }), el("bdi", {}, Dpg.short(r.name, 40)),
    el("strong", {}, points(Dpg.model.scores(set, r, judge, rule)[item], 1))));
    return el("div", { class: "chips", role: "group", "aria-label": "Model" }, buttons);
  }

  function tileChoice(run, chosen) {
    const option = (value, text) => el("button", { type: "button", class: "chip",
      "aria-pressed": String((value || 0) === (chosen || 0)),
      click: () => Dpg.address.set({ tile: value ? String(value) : "" }) }, text);
    return el("div", { class: "chips", role: "group", "aria-label": "Tiles in the graph" },
      option(0, "all tiles"), Array.from({ length: run.tiles }, (_, n) => option(n + 1, `tile ${n + 1}`)));
  }

  // How each tile's score comes about, in figures.
  function scoreTable(tallies, failure, score) {
    const heads = ["", "Hold", "No", "Zeroed by a parent", "Invalid", "Questions", "Score"];
    const rows = tallies.map((tile, n) => el("tr", {}, el("th", { scope: "row" }, `tile ${n + 1}`),
      [tile.holds, tile.no, tile.zeroed, tile.invalid, tile.asked].map((number) =>
        el("td", { class: "num" }, String(number))),
      el("td", { class: "num" }, failure ? "—" : `${tile.holds} / ${tile.asked} = ${points(tile.score)}`)));
    const end = failure ? `no score: ${failure}` : `mean of the tiles = ${points(score)}`;
    return el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "How the score comes about" },
      el("table", { class: "answers account" }, el("caption", {}, "How the score comes about"),
        el("thead", {}, el("tr", {}, heads.map((head, n) => n
          ? el("th", { scope: "col", class: "num" }, head) : el("td", {}, head)))),
        el("tbody", {}, rows, el("tr", { class: "sum" }, el("th", { scope: "row" }, "item"),
          el("td", { class: "num", colspan: 6 }, end)))));
  }

  Dpg.parents = (q) => q.parents.join(", ") || "—";

  function answers(view, item, questions, tiles, chosen, hover) {
    const { set, run, judge } = view;
    const size = questions.length;
    const rows = questions.map((q, n) => el("tr", { "data-qid": q.qid, ...hover(q) },
      el("td", { class: "num" }, String(q.qid)), el("th", { scope: "row", dir: "auto" }, q.text),
      el("td", {}, set.l2[q.category]), el("td", {}, Dpg.parents(q)),
      tiles.map((tile, t) => el("td", { class: chosen && chosen !== t + 1 ? "pale" : null },
        Dpg.mark(tile[n], Dpg.model.words(run, judge, item, t * size + n))))));
    return el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Questions and answers" },
      el("table", { class: "answers" }, el("caption", {}, "Questions, and the judge’s raw answers"),
        el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "num" }, "No."),
          ["Question", "Category", "Rests on"].map((head) => el("th", { scope: "col" }, head)),
          tiles.map((_, t) => el("th", { scope: "col" }, `Tile ${t + 1}`)))),
        el("tbody", {}, rows)));
  }

  function heading(view, item) {
    const { set, run } = view;
    const [before, after] = Dpg.neighbours(item);
    const step = (to, text, name) => el("button", { type: "button", class: "step", "aria-label": name,
      disabled: to === undefined, click: () => {
        Dpg.address.set({ item: set.ids[to], model: run.name }, true);
        const again = document.querySelector(`[data-item] button[aria-label="${name}"]:enabled`);
        if (again) again.focus();
      } }, text);
    return el("div", { class: "item-head" },
      el("h3", { id: "item-title", tabindex: -1 }, el("bdi", {}, set.ids[item]), " ",
        el("span", { class: "count" }, set.sources[set.source[item]])),
      el("div", { class: "pager" }, step(before, "←", "Previous item"), step(after, "→", "Next item")));
  }

  function body(view, item, state, place) {
    const { set, run, judge, rule } = view;
    const questions = set.questions[item].map(Dpg.model.question);
    const text = Dpg.model.states(run, judge, rule, item);
    const tiles = text ? Dpg.model.tilesOf(text, run.tiles) : [];
    const verdicts = (run.judges[judge] || { rules: {} }).rules[rule];
    const failure = verdicts ? verdicts.failures[item] : undefined;
    const wanted = Number(state.tile), chosen = wanted >= 1 && wanted <= run.tiles ? wanted : 0;
    const tallies = Dpg.model.tallies(set, run, judge, rule, item);
    const hover = (q) => ({ mouseenter: () => light(place, q.qid), mouseleave: () => light(place, null) });
    const letters = (n) => (chosen ? tiles[chosen - 1][n] : tiles.map((tile) => tile[n]).join(""));
    const what = chosen ? `tile ${chosen}` : "all tiles";
    const score = Dpg.model.scores(set, run, judge, rule)[item];
    const graph = questions.length && tiles.length ? el("div", { class: "graph-part" },
      tileChoice(run, chosen),
      el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Question graph" },
        Dpg.graph(questions, letters, `Question graph of ${set.ids[item]}, ${what}. `
          + "The table of questions has the same in words.", hover))) : null;
    return [
      heading(view, item),
      set.prompts[item] ? prompt(set.prompts[item], questions) : el("p", { class: "caution" }, set.missing || ""),
      modelChoice(view, item),
      el("p", { class: "verdict" }, el("bdi", {}, Dpg.short(run.name, 60)), ": ",
        el("strong", {}, points(score)), ` (judge ${Dpg.short(judge, 40)}, rule ${rule})`,
        failure ? el("span", { class: "flag" }, `no score: ${failure}`) : null),
      el("div", { class: "see" },
        Dpg.tiles(set, run, item, tallies.map((tile) => tile.score), chosen, (tile) => Dpg.address.set({ tile })), graph),
      tiles.length ? scoreTable(tallies, failure, score) : null,
      tiles.length ? answers(view, item, questions, tiles, chosen, hover) : null,
    ].filter(Boolean);
  }

  // Draws anew and leaves the keyboard where it was.
  function redraw(place, parts) {
    const old = document.activeElement;
    const path = [];
    for (let at = old; at && at !== place && place.contains(at); at = at.parentElement) {
      path.unshift(Array.prototype.indexOf.call(at.parentElement.children, at));
    }
    const inside = old !== place && place.contains(old);
    place.replaceChildren(...parts);
    if (inside) {
      const again = path.reduce((at, n) => at && at.children[n], place);
      if (again) again.focus({ preventScroll: true });
    }
  }

  const SHOWN = ["item", "model", "tile", "judge", "rule", "benchmark"];

  Dpg.itemDetail = function (data, place, listed) {
    let first = true;
    Dpg.showItem = (focus) => {
      const title = place.querySelector("h3");
      if (!title) return;
      if (focus) title.focus({ preventScroll: true });
      const edge = place.getBoundingClientRect();
      if (edge.top < 0 || edge.top > window.innerHeight * 0.6) place.scrollIntoView({ block: "start" });
    };
    Dpg.address.listen((state, changed) => {
      const asked = state.item !== undefined && state.item !== "";
      if (!first && !SHOWN.some((key) => changed.has(key)) && asked) return;
      const view = Dpg.model.view(data.sets, state);
      const at = view.set.ids.indexOf(state.item);
      const item = at >= 0 ? at : listed()[0];
      if (asked && at < 0) {
        redraw(place, [el("p", { class: "caution" }, `This report has no item “${Dpg.short(state.item, 80)}”.`)]);
      } else if (item === undefined) {
        redraw(place, []);
      } else {
        redraw(place, body(view, item, state, place));
      }
      if (first && asked) Dpg.showItem(false);
      first = false;
    });
  };
})();
