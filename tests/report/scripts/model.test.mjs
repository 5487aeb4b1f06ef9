import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.mjs";

const { model } = load("model.js");
const questions = [[1, "Is there a cube?", "cube", 0, [], 0, 0.5], [2, "Is it red?", "cube, red", 1, [1], 1, 0]];
function run(index, name, answers, states, more = {}) {
  return { index, name, run: name, tiles: 2, absent: [], scores: {}, pictures: { base: "i/", end: ".png", other: {}, none: [] },
    judges: { j: { answers, others: {}, rules: { "corrected-v1": { states, failures: {} } } } }, ...more };
}
const one = run(0, "one", ["yyny", "yyyy", "nnnn"], [0, 0, 0]);
const two = run(1, "two", ["nyyy", "y?yy", "yyyy"], ["nzyy", 0, 0]);
const set = { benchmark: "b", ids: ["a_1", "b_1", "b_2"], sources: ["a", "b"], source: [0, 1, 1],
  prompts: ["red cube", "blue ball", "none"], questions: [questions, questions, questions],
  l2: ["entity - whole", "attribute - color"], l1: ["entity", "attribute"], runs: [one, two] };
const view = (state = {}) => model.view([set], state);
const select = (state) => plain(model.select(view(state), state));

test("a tile's score is the share of its questions that hold", () => {
  assert.equal(model.tileScore("yyn"), 200 / 3);
  assert.equal(model.tileScore("yz"), 50);
  assert.equal(model.tileScore("y?"), 50);
  assert.equal(model.tileScore("y-"), 100);
  assert.equal(model.tileScore("y."), null);
});

test("an item's score is the mean of its tiles, after zeroing", () => {
  assert.equal(model.itemScore(one, "j", "corrected-v1", 0), 75);
  assert.equal(model.itemScore(two, "j", "corrected-v1", 0), 50);
  assert.equal(model.itemScore(two, "j", "unheard-of", 0), null);
});

test("an item that a rule gives no score has none", () => {
  const lost = run(2, "lost", ["yyyy"], [0]);
  lost.judges.j.rules["corrected-v1"].failures[0] = "no answers";
  assert.equal(model.itemScore(lost, "j", "corrected-v1", 0), null);
});

test("the address chooses run, judge and rule; what it does not know is as usual", () => {
  assert.equal(view({ model: "two" }).run, two);
  assert.equal(view({ model: "nobody", judge: "nobody", rule: "nothing" }).run, one);
  assert.equal(view({ rule: "nothing" }).rule, "corrected-v1");
});

test("filters", () => {
  assert.deepEqual(select({}), [0, 1, 2]);
  assert.deepEqual(select({ source: "b" }), [1, 2]);
  assert.deepEqual(select({ text: "BLUE cube" }), [1]); // questions count as well
  assert.deepEqual(select({ min: "70", max: "80" }), [0]);
  assert.deepEqual(select({ failed: "attribute" }), [2]);
  assert.deepEqual(select({ failed: "entity", model: "two" }), [0]);
  assert.deepEqual(select({ sort: "low" }), [2, 0, 1]);
  assert.deepEqual(select({ show: "differ" }), [2, 0, 1]);
});

test("judges disagree where one counts an answer and the other does not", () => {
  const both = run(3, "both", ["yyyy"], [0]);
  both.judges.k = { answers: ["yny?"], others: {}, rules: {} };
  assert.equal(model.disagreement(both, 0), 2);
  assert.equal(model.disagreement(one, 0), 0);
});

test("a picture's address is safe", () => {
  const odd = { ...set, ids: ["50% #1&'é"] };
  assert.equal(model.picture(odd, one, 0), "i/50%25%20%231%26%27%C3%A9.png");
});

test("raw words are told", () => {
  const other = run(4, "other", ["y?nn"], [0]);
  other.judges.j.others = { 0: { 1: "perhaps" } };
  assert.equal(model.words(other, "j", 0, 1), "perhaps");
  assert.equal(model.words(other, "j", 0, 2), "no");
});
