// Where questions stand in the drawing: roots left, children further right, a row for each leaf.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  // Gives each of {qid, parents} a column and a row; an edge that closes a cycle counts for nothing.
  Dpg.places = function (questions) {
    const byId = new Map(questions.map((q) => [q.qid, q]));
    const columns = new Map();
    const begun = new Set();
    function column(q) {
      if (columns.has(q.qid)) return columns.get(q.qid);
      begun.add(q.qid);
      const parents = q.parents.filter((p) => byId.has(p) && (columns.has(p) || !begun.has(p)));
      columns.set(q.qid, 1 + Math.max(-1, ...parents.map((p) => column(byId.get(p)))));
      return columns.get(q.qid);
    }
    for (const q of questions) q.column = column(q);
    const children = new Map(questions.map((q) => [q.qid, []]));
    const roots = [];
    for (const q of questions) {
      const parents = q.parents.filter((p) => byId.has(p) && columns.get(p) < q.column);
      if (!parents.length) roots.push(q);
      else children.get(parents.reduce((a, b) => (columns.get(b) > columns.get(a) ? b : a))).push(q);
    }
    let free = 0;
    function row(q) {
      const under = children.get(q.qid).map(row);
      q.row = under.length ? (under[0] + under[under.length - 1]) / 2 : free++;
      return q.row;
    }
    roots.forEach(row);
    return questions;
  };
})();
