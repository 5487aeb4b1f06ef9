import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.mjs";

const Dpg = load("unpack.js");
const questions = [[1, "?", "", 0, [], 0, 0], [2, "?", "", 0, [], 0, 0]];

function data(answers, states, scores = []) {
  const judges = { j: { answers, rules: { r: { states } } } };
  const runs = [{ tiles: 2, judges, scores: { j: { r: scores } } }];
  return Dpg.unpack({ sets: [{ questions: answers.map(() => questions), figures: [12.5, 100], runs }] }).sets[0].runs[0];
}

test("answers are three a sign, by number of the item's questions", () => {
  const run = data(["BA", "_g", "AA", ""], [0, 0, 0, 0]);
  assert.deepEqual(plain(run.judges.j.answers), ["yyny", "...?", "yyyy", ""]);
});

test("a rule's changes are put into the answers", () => {
  const run = data(["AA", "BA", "AA", "", "AA"], ["z3", "n0-1", 0, "", 1]);
  assert.deepEqual(plain(run.judges.j.rules.r.states), ["yyyz", "n-ny", 0, "", 1]);
});

test("all letters stand for themselves where changes would be longer", () => {
  assert.deepEqual(plain(data(["AA"], ["----"]).judges.j.rules.r.states), ["----"]);
});

test("scores are figures of the set", () => {
  assert.deepEqual(plain(data([], [], [1, null, 0, 1]).scores.j.r), [100, null, 12.5, 100]);
});

test("what is taken along is unpacked", () => {
  assert.deepEqual(JSON.parse(JSON.stringify(data(["BA"], ["z0"], [0]))), { tiles: 2,
    judges: { j: { answers: ["yyny"], rules: { r: { states: ["zyny"] } } } }, scores: { j: { r: [12.5] } } });
});
