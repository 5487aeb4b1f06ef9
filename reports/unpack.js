// The page's data as it is written, and as the other scripts read it: a run's answers and scores are
// unpacked when they are first looked at.
//
// Written: `answers` of an item are three answers a sign, by their places in ANSWERS (packing.py); its
// `states` under a rule are 0 where they are as they were given, 1 where they are as under the judge's
// first rule, else each letter that the rule changes with its place (z3n12), or all letters;
// `scores` are places in the set's `figures`, null where there is no score.
// Read: `answers` and `states` are whole letters (states still 0 or 1 where that is so), `scores` numbers.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const ANSWERS = "yn?.";
  const three = new Map(Array.from(SIGNS, (sign, n) => [sign, ANSWERS[n >> 4] + ANSWERS[(n >> 2) & 3] + ANSWERS[n & 3]]));

  const whole = (packed, length) => Array.from(packed, (sign) => three.get(sign)).join("").slice(0, length);

  function changed(answers, state) {
    if (typeof state !== "string" || !/\d/.test(state)) return state;
    const letters = Array.from(answers);
    for (const [, letter, place] of state.matchAll(/(\D)(\d+)/g)) letters[place] = letter;
    return letters.join("");
  }

  // A property whose value is made when it is first read.
  function later(object, name, make) {
    Object.defineProperty(object, name, { enumerable: true, configurable: true, get() {
      const value = make();
      Object.defineProperty(object, name, { value, enumerable: true });
      return value;
    } });
  }

  function judge(set, run, about) {
    const { answers } = about;
    later(about, "answers", () => answers.map((packed, item) => whole(packed, run.tiles * set.questions[item].length)));
    for (const verdicts of Object.values(about.rules)) {
      const { states } = verdicts;
      later(verdicts, "states", () => states.map((state, item) => changed(about.answers[item], state)));
    }
  }

  Dpg.unpack = function (data) {
    for (const set of data.sets) {
      for (const run of set.runs) {
        for (const about of Object.values(run.judges)) judge(set, run, about);
        for (const rules of Object.values(run.scores)) {
          for (const [rule, places] of Object.entries(rules)) {
            later(rules, rule, () => places.map((place) => (place === null ? null : set.figures[place])));
          }
        }
      }
    }
    return data;
  };
})();
