// Draws a question graph: roots on the left, a line from each question to those that rest on it.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const WIDTH = 190, HEIGHT = 42, GAP_X = 38, GAP_Y = 10, MARGIN = 3;

  const left = (q) => MARGIN + q.column * (WIDTH + GAP_X);
  const top = (q) => MARGIN + q.row * (HEIGHT + GAP_Y);

  function curve(parent, child) {
    const [x1, y1] = [left(parent) + WIDTH, top(parent) + HEIGHT / 2];
    const [x2, y2] = [left(child), top(child) + HEIGHT / 2];
    const middle = (x1 + x2) / 2;
    return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
  }

  // How a question fared, from its letters: one where a tile is chosen, else one for each tile.
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

  function node(q, outcome, over) {
    const x = left(q), y = top(q);
    return Dpg.svg("g", { class: `node ${outcome.name}`, "data-qid": q.qid, ...over(q) },
      Dpg.svg("title", {}, `${q.qid}. ${q.text} ${outcome.word}`),
      Dpg.svg("rect", { x, y, width: WIDTH, height: HEIGHT, rx: 6 }),
      Dpg.svg("text", { x: x + 9, y: y + 17, class: "subject" },
        Dpg.svg("tspan", { class: "qid" }, `${q.qid}`), ` ${Dpg.short(q.subject || q.text, 26)}`),
      Dpg.svg("text", { x: x + 9, y: y + 34, class: "fate" }, `${outcome.sign} ${outcome.word}`));
  }

  // `letters(q)` gives the letters of question number `place`; `over(q)` listeners of its box.
  Dpg.graph = function (questions, letters, label, over = () => ({})) {
    const byId = new Map(questions.map((q) => [q.qid, q]));
    const width = Math.max(...questions.map(left)) + WIDTH + MARGIN;
    const height = Math.max(...questions.map(top)) + HEIGHT + MARGIN;
    const outcomes = questions.map((q, place) => Dpg.outcome(letters(place)));
    const failed = new Set(questions.filter((_, n) => ["no", "zeroed", "other"].includes(outcomes[n].name))
      .map((q) => q.qid));
    const edges = questions.flatMap((q) => q.parents.filter((p) => byId.has(p)).map((p) =>
      Dpg.svg("path", { class: failed.has(p) ? "edge cut" : "edge", d: curve(byId.get(p), q) })));
    return Dpg.svg("svg", { class: "graph", viewBox: `0 0 ${width} ${height}`, width, height,
      role: "img", "aria-label": label }, edges, questions.map((q, n) => node(q, outcomes[n], over)));
  };
})();
