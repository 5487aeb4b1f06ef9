import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.mjs";

const Dpg = load("dom.js", "address.js", "model.js", "spans.js", "graph.js", "download.js");

test("spans join to the prompt and name their questions", () => {
  const prompt = "Two red cubes stand on a table. A red Lamp.";
  const found = plain(Dpg.spans(prompt, [{ qid: 1, subject: "cube" }, { qid: 2, subject: "cube, red" },
    { qid: 3, subject: "cube, table, on" }]));
  assert.equal(found.map((piece) => piece.text).join(""), prompt);
  const marked = found.filter((piece) => piece.qids.length).map(({ text, qids }) => [text, qids]);
  assert.deepEqual(marked, [["red", [2]], ["cubes", [1, 2, 3]], ["table", [3]], ["red", [2]]]);
});

test("a phrase that the prompt words otherwise is found by its longer words", () => {
  const found = plain(Dpg.spans("The sleek, black piano.", [{ qid: 4, subject: "black grand piano" }]));
  assert.deepEqual(found.filter((p) => p.qids.length).map((p) => p.text), ["black", "piano"]);
});

test("odd texts are no patterns", () => {
  const prompt = "C++ (a+b)* <script> 🎨 שלום " + "very ".repeat(2000);
  const found = Dpg.spans(prompt, [{ qid: 1, subject: "(a+b)*, שלום, <script>" }]);
  assert.equal(found.map((piece) => piece.text).join(""), prompt);
  assert.ok(found.some((piece) => piece.text === "שלום"));
});

test("the address is read and written alike", () => {
  const state = { item: "a b&c=#é", model: "x", tile: "2" };
  assert.deepEqual(plain(Dpg.address.parse(Dpg.address.format(state))), state);
  assert.equal(Dpg.address.parse("#runs"), null);
  assert.equal(Dpg.address.format({ item: "" }), "#view=board");
});

test("a question's outcome is told by sign and word", () => {
  assert.deepEqual(plain(Dpg.outcome("z")), { name: "zeroed", sign: "⊘", word: "zeroed" });
  assert.deepEqual(plain(Dpg.outcome("yyyy")), { name: "yes", sign: "✓✓✓✓", word: "yes on all" });
  assert.deepEqual(plain(Dpg.outcome("ynz?")), { name: "some", sign: "✓✗⊘?", word: "1 yes, 1 no, 1 zeroed, 1 invalid" });
  assert.equal(Dpg.outcome("nnz").name, "zeroed");
  assert.equal(Dpg.outcome("nn?").name, "no");
});

test("tables are quoted", () => {
  assert.equal(Dpg.csv([["a", 'b"c', "d,e", null, 1.5, "x\ny"]]), 'a,"b""c","d,e",,1.5,"x\ny"\n');
});

test("what is turned twice is as before", () => {
  const { turned } = load("dom.js", "model.js", "views.js", "compare.js");
  const comparison = { items: 3, overall: [2, 1, 1, 0.5, 1.5, 0.01, null, 3, "yes"], outcomes: [2, 1, 0],
    l1: [["a", 2, 1, 1, 0.5, 1.5, 0.01, 0.02, 3, "yes"]], l2: [] };
  assert.deepEqual(plain(turned(comparison)).overall, [1, 2, -1, -1.5, -0.5, 0.01, null, 3, "yes"]);
  assert.deepEqual(plain(turned(turned(comparison))), comparison);
});
