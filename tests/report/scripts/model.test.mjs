import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.mjs";

const { model } = load("model.js");
const questions = [[1, "Is there a cube?", "cube", 0, [], 0, 0.5], [2, "Is it red?", "cube, red", 1, [1], 1, 0]];
const tallies = [[2, 0, 0, 0, 2, 100], [1, 1, 0, 0, 2, 50], [0, 2, 0, 0, 2, 0], [0, 1, 1, 0, 2, 0], [1, 0, 0, 1, 2, 50]];
function run(index, name, answers, states, scores, tiles, more = {}) {
  return { index, name, run: name, tiles: 2, absent: [], cut: [], scores: { j: { "corrected-v1": scores } },
    pictures: { base: "i/", end: ".png", other: {}, none: [] },
    judges: { j: { answers, others: {}, rules: { "corrected-v1": { states, tiles, failures: {} } } } }, ...more };
}
const one = run(0, "one", ["yyny", "yyyy", "nnnn"], [0, 0, 0], [75, 100, 0], [[0, 1], [0, 0], [2, 2]]);
const two = run(1, "two", ["nyyy", "y?yy", "yyyy"], ["nzyy", 0, 0], [50, 75, 100], [[3, 0], [4, 0], [0, 0]]);
const set = { benchmark: "b", ids: ["a_1", "b_1", "b_2"], sources: ["a", "b"], source: [0, 1, 1],
  prompts: ["red cube", "blue ball", "none"], questions: [questions, questions, questions],
  l2: ["entity - whole", "attribute - color"], l1: ["entity", "attribute"], runs: [one, two], tallies };
const rows = [["one", 0], ["two", 1]].map(([name, run]) => ({ name, run, judge: "j", rule: "corrected-v1" }));
const data = { sets: [set], rows, groups: [{ set: 0, judge: "j", rule: "corrected-v1", rows: [0, 1], matrix: [] }] };
const view = (state = {}) => model.view(data, state);
const select = (state) => plain(model.select(view(state), state));

test("scores are looked up", () => {
  assert.deepEqual(plain(model.scores(set, one, "j", "corrected-v1")), [75, 100, 0]);
  assert.deepEqual(plain(model.scores(set, two, "j", "corrected-v1")), [50, 75, 100]);
  assert.deepEqual(plain(model.scores(set, two, "j", "unheard-of")), [null, null, null]);
});

test("what became of tiles is looked up", () => {
  assert.deepEqual(plain(model.tallies(set, two, "j", "corrected-v1", 0)), [
    { holds: 0, no: 1, zeroed: 1, invalid: 0, asked: 2, score: 0 },
    { holds: 2, no: 0, zeroed: 0, invalid: 0, asked: 2, score: 100 }]);
  assert.deepEqual(plain(model.tallies(set, two, "j", "unheard-of", 0)), []);
});

test("an item that a rule gives no score has none", () => {
  const lost = run(2, "lost", ["yyyy"], [0], [null], [[]]);
  assert.equal(model.scores(set, lost, "j", "corrected-v1")[0], null);
});

test("the address chooses run, judge and rule; what it does not know is as usual", () => {
  assert.equal(view({ model: "two" }).run, two);
  assert.equal(view({ model: "nobody", judge: "nobody", rule: "nothing" }).run, one);
  assert.equal(view({ rule: "nothing" }).rule, "corrected-v1");
});

test("filters", () => {
  assert.deepEqual(select({}), [2, 0, 1]); // the lowest first
  assert.deepEqual(select({ sort: "benchmark" }), [0, 1, 2]);
  assert.deepEqual(select({ sort: "high" }), [1, 0, 2]);
  assert.deepEqual(select({ source: "b" }), [2, 1]);
  assert.deepEqual(select({ text: "BLUE cube" }), [1]); // questions count as well
  assert.deepEqual(select({ min: "70", max: "80" }), [0]);
  assert.deepEqual(select({ failed: "attribute" }), [2]);
  assert.deepEqual(select({ failed: "entity", model: "two" }), [0]);
  assert.deepEqual(select({ show: "differ" }), [2, 0, 1]);
});

test("failures are the worst first", () => {
  const all = (category) => plain(model.failures(view({ model: "one" }), category)).map(({ item, n, fails }) => [item, n, fails]);
  assert.deepEqual(all(""), [[2, 0, 2], [2, 1, 2], [0, 0, 1]]);
  assert.deepEqual(all("attribute"), [[2, 1, 2]]);
  assert.deepEqual(all("attribute - color"), [[2, 1, 2]]);
});

test("names that are not there are told", () => {
  assert.deepEqual(plain(model.unknown(data, { rule: "corrected-v1", model: "two", item: "a_1" })), []);
  assert.deepEqual(plain(model.unknown(data, { rule: "none", item: "x" })), [
    "This report has no rule “none”; corrected-v1 is shown.", "This report has no item “x”; no item is shown."]);
});

test("judges disagree where one counts an answer and the other does not", () => {
  const both = run(3, "both", ["yyyy"], [0], [100], [[0, 0]]);
  both.judges.k = { answers: ["yny?"], others: {}, rules: {} };
  assert.equal(model.disagreement(both, 0), 2);
  assert.equal(model.disagreement(one, 0), 0);
});

test("a picture's address is safe", () => {
  const odd = { ...set, ids: ["50% #1&'é"] };
  assert.equal(model.picture(odd, one, 0), "i/50%25%20%231%26%27%C3%A9.png");
});

test("raw words are told", () => {
  const other = run(4, "other", ["y?nn"], [0], [25], [[4, 2]]);
  other.judges.j.others = { 0: { 1: "perhaps" } };
  assert.equal(model.words(other, "j", 0, 1), "perhaps");
  assert.equal(model.words(other, "j", 0, 2), "no");
});

test("a rule that sees an item as the first rule does is not kept twice", () => {
  const twice = run(5, "twice", ["yyny"], ["yynz"], [50], [[0, 3]]);
  twice.judges.j.rules.other = { states: [1], tiles: [[0, 3]], failures: {} };
  assert.equal(model.states(twice, "j", "other", 0), "yynz");
});


test("a rule that is asked for chooses the judge that has it", () => {
  const groups = [["a", "whole"], ["b", "corrected-v1"], ["b", "parts"]].map(([judge, rule]) =>
    ({ set: 0, judge, rule, rows: [0, 1], matrix: [] }));
  const several = { ...data, groups };
  const chosen = (state) => { const { judge, rule } = model.view(several, state); return `${judge}/${rule}`; };
  assert.equal(chosen({}), "b/corrected-v1");
  assert.equal(chosen({ rule: "whole" }), "a/whole");
  assert.equal(chosen({ rule: "parts" }), "b/parts");
  assert.equal(chosen({ judge: "b", rule: "whole" }), "b/corrected-v1");
});
