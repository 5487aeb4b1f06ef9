import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.mjs";

const Dpg = load("dom.js", "review/places.js", "review/state.js", "review/history.js");
const { state } = Dpg;
const COLUMNS = ["keywords", "proposition_id", "dependency", "category_broad", "category_detailed", "tuple",
  "question_natural_language", "review"];

// An item of questions [number, dependency, flags]; text and tuple are made from the number.
function item(...rows) {
  const raw = rows.map(([qid, dependency, flags = ""]) =>
    ["", String(qid), dependency, "entity", "whole", `entity - whole (thing ${qid})`, `Is there thing ${qid}?`, flags, null]);
  return state.prepared({ columns: COLUMNS, items: [["one", "A prompt.", raw, 0]] })[0];
}

const strike = (...rows) => ({ id: "one", do: "strike", rows });
const data = { header: ["item_id", "text", ...COLUMNS], columns: COLUMNS };
const written = (view) => plain(state.table(data, [view])).slice(1).map((row) => [row[3], row[4], row[9]]);

test("what rested on struck questions rests on what those rested on", () => {
  const chain = item([1, "0"], [2, "1"], [3, "2"], [4, "3,1"], [5, "0", "uncovered: x"]);
  const view = state.view(chain, [strike(1), strike(2)]);
  assert.deepEqual(written(view), [["1", "0", "uncovered: x"], ["4", "1", ""], ["5", "0", ""]]);
  assert.equal(state.fate(view, view.rows[1]), "Question 4 now rests on 1.");
  assert.deepEqual(state.below(state.view(chain, []), state.view(chain, []).rows[1]).map((row) => row.qid), [3, 4]);
});

test("a cycle of struck questions ends, and words and faults that nobody touched stay", () => {
  const odd = item([1, "2"], [2, "1"], [3, "1, x"], [4, "4"], [5, "nan"]);
  assert.deepEqual(written(state.view(odd, [strike(0, 1)])), [["3", "x", ""], ["4", "4", ""], ["5", "nan", ""]]);
});

test("restoring is striking undone", () => {
  const both = item([1, "0"], [2, "1"]);
  const view = state.view(both, [strike(0), { id: "one", do: "restore", rows: [0] }]);
  assert.deepEqual(written(view), [["1", "0", ""], ["2", "1", ""]]);
  assert.equal(view.changed, false);
});

test("an edit changes its cells alone, and mends columns that disagree with the tuple", () => {
  const view = state.view(item([1, "0"], [2, "1", "invented: y"]), []);
  const form = { question: "Is it?", subject: "thing 2", kind: "entity - whole", parents: "1" };
  assert.deepEqual(plain(state.cells(view.rows[1], view.place, form)), { question_natural_language: "Is it?" });
  view.rows[1].cells[view.place.category_broad] = "relation";
  assert.deepEqual(plain(state.cells(view.rows[1], view.place, { ...form, subject: "(a), b" })), {
    question_natural_language: "Is it?", tuple: "entity - whole ((a), b)", category_broad: "entity", category_detailed: "whole" });
  assert.equal(state.subjectOf("entity - whole ((a), b)"), "(a), b");
});

test("cells are quoted as a CSV wants it", () => {
  assert.equal(state.csv([["a,b", 'say "x"', "two\nlines", "\r", "=1"]]), '"a,b","say ""x""","two\nlines","\r",=1\n');
});

test("steps are kept until they are forgotten, and strange ones are not taken up", () => {
  const box = new Map();
  const storage = { getItem: (key) => box.get(key) ?? null, setItem: (k, v) => box.set(k, v), removeItem: (k) => box.delete(k) };
  const items = [item([1, "0"])];
  const first = Dpg.history("key", storage, items);
  first.add(strike(0));
  assert.equal(first.isSaved, false);
  first.downloaded();
  box.set("key", JSON.stringify({ steps: [strike(0), strike(7), { id: "gone", do: "done" }], saved: 1 }));
  const again = Dpg.history("key", storage, items);
  assert.deepEqual(plain(again.of("one")), [plain(strike(0))]);
  assert.equal(again.isSaved, true);
  again.undo();
  assert.equal(again.isSaved, false);
  again.redo();
  again.clear();
  assert.equal(box.size, 0);
  const refusing = Dpg.history("key", { getItem() { throw new Error("no"); }, setItem() { throw new Error("no"); } }, items);
  refusing.add(strike(0));
  assert.equal(refusing.isKept, false);
});

test("the drawing has a place for each question, cycles or not", () => {
  const q = (qid, ...parents) => ({ qid, parents });
  const places = Dpg.places([q(1), q(2, 1), q(3, 1, 2), q(4, 5), q(5, 4), q(6, 99)]);
  assert.deepEqual(plain(places).slice(0, 3).map((p) => [p.column, p.row]), [[0, 0], [1, 0], [2, 0]]);
  assert.equal(new Set(places.map((p) => `${p.column} ${p.row}`)).size, 6);
});
