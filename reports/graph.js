// Draws a question graph: roots on the left, a line from each question to those that rest on it.
// Boxes are text that wraps; lines run in the gaps between columns, and through a column only in a
// lane that is kept free for them, so that no line crosses a box.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, svg } = Dpg;
  const WIDTH = 196, GAP_X = 44, GAP_Y = 10, LANE = 12, ROW = 60, MARGIN = 2;

  // How a question fared, from its letters: one where an image is chosen, else one for each.
  Dpg.outcome = function (letters) {
    const kinds = Dpg.model.KINDS;
    if (letters.length === 1) {
      const kind = kinds[letters];
      return { name: kind.name, sign: kind.sign, word: kind.word };
    }
    const counts = Dpg.model.count(letters);
    const sign = Array.from(letters, (letter) => kinds[letter].sign).join("");
    const parts = [["y", "yes"], ["n", "no"], ["z", "zeroed"], ["?", "invalid"], [".", "open"], ["-", "out"]]
      .filter(([letter]) => counts[letter]);
    if (!parts.length) return { name: "none", sign: "·", word: "not answered" };
    const word = parts.length === 1
      ? `${kinds[parts[0][0]].word} on all`
      : parts.map(([letter, text]) => `${counts[letter]} ${text}`).join(", ");
    const only = parts.length === 1 ? kinds[parts[0][0]].name : null;
    const rest = counts.z ? "zeroed" : "no";
    return { name: only || (counts.y ? "some" : rest), sign, word };
  };

  // A lane in each column that an edge passes: {column, row, edge}.
  function lanes(edges) {
    return edges.flatMap((edge) => Array.from({ length: edge.child.column - edge.parent.column - 1 }, (_, n) => ({
      column: edge.parent.column + 1 + n, row: (edge.parent.row + edge.child.row) / 2, height: LANE, edge,
    })));
  }

  // Puts boxes and lanes of each column below one another, each as near its row as there is room.
  Dpg.stack = function (boxes) {
    const columns = new Map();
    for (const box of boxes) columns.set(box.column, [...(columns.get(box.column) || []), box]);
    let height = 0;
    for (const column of columns.values()) {
      column.sort((a, b) => a.row - b.row);
      let free = MARGIN;
      for (const box of column) {
        box.top = Math.max(free, MARGIN + box.row * ROW);
        free = box.top + box.height + GAP_Y;
      }
      height = Math.max(height, free - GAP_Y + MARGIN);
    }
    return height;
  };

  const left = (column) => MARGIN + column * (WIDTH + GAP_X);
  const bend = (x1, y1, x2, y2) => `C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`;

  function path({ parent, child, passes }) {
    let x = left(parent.column) + WIDTH, y = parent.top + parent.height / 2;
    let d = `M${x} ${y}`;
    for (const lane of passes) {
      const middle = lane.top + lane.height / 2;
      d += bend(x, y, left(lane.column), middle) + `H${left(lane.column) + WIDTH}`;
      [x, y] = [left(lane.column) + WIDTH, middle];
    }
    return d + bend(x, y, left(child.column), child.top + child.height / 2);
  }

  function node(q, outcome, over) {
    return el("li", { class: `node ${outcome.name}`, "data-qid": q.qid, ...over(q) },
      el("span", { class: "subject" }, el("span", { class: "qid" }, `${q.qid}`), " ",
        el("bdi", { title: q.text }, Dpg.short(q.subject || q.text, 160))),
      el("span", { class: "fate" }, `${outcome.sign} ${outcome.word}`));
  }

  // `letters(n)` gives the letters of the n-th question; `over(q)` listeners of its box. The result
  // has to be in the page when `settle` is called: heights of boxes are measured.
  Dpg.graph = function (questions, letters, label, over = () => ({})) {
    const outcomes = questions.map((_, n) => Dpg.outcome(letters(n)));
    const bad = new Set(questions.filter((_, n) => ["no", "zeroed", "other"].includes(outcomes[n].name)).map((q) => q.qid));
    const boxes = questions.map((q, n) => ({ q, column: q.column, row: q.row, element: node(q, outcomes[n], over) }));
    const byId = new Map(boxes.map((box) => [box.q.qid, box]));
    const edges = boxes.flatMap((child) => child.q.parents.filter((p) => byId.has(p)).map((p) => ({ parent: byId.get(p), child })));
    const lines = svg("svg", { class: "edges", "aria-hidden": "true" });
    const list = el("ol", { class: "nodes", "aria-label": label }, boxes.map((box) => box.element));
    const graph = el("div", { class: "graph" }, lines, list);
    graph.settle = function () {
      for (const box of boxes) box.height = box.element.offsetHeight;
      const passing = lanes(edges);
      const height = Dpg.stack([...boxes, ...passing]);
      const width = Math.max(...boxes.map((box) => left(box.column))) + WIDTH + MARGIN;
      for (const box of boxes) {
        box.element.style.left = `${left(box.column)}px`;
        box.element.style.top = `${box.top}px`;
      }
      graph.style.width = `${width}px`;
      graph.style.height = `${height}px`;
      lines.setAttribute("viewBox", `0 0 ${width} ${height}`);
      lines.replaceChildren(...edges.map((edge) => svg("path", {
        class: bad.has(edge.parent.q.qid) ? "edge cut" : "edge",
        d: path({ ...edge, passes: passing.filter((lane) => lane.edge === edge) }) })));
    };
    return graph;
  };
})();
