// Reads the page's data: items, runs, answers and their figures, which the toolkit computed.
// Scripts look figures up, filter, sort and draw; they compute none.
//
// `set.tallies` holds what became of tiles, each tally once: [holds, no, zeroed, invalid, questions,
// score]; the `tiles` of an item are places in it. Where there is no score stands null.
// An item's answers are one string, tile by tile, its questions by number:
// y holds, n no, z yes but zeroed by a parent, ? neither yes nor no, . not answered, - not counted.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const KINDS = {
    y: { name: "yes", sign: "✓", word: "yes" },
    n: { name: "no", sign: "✗", word: "no" },
    z: { name: "zeroed", sign: "⊘", word: "zeroed" },
    "?": { name: "other", sign: "?", word: "invalid" },
    ".": { name: "none", sign: "·", word: "not answered" },
    "-": { name: "none", sign: "–", word: "not counted" },
  };
  const PREFERRED = "corrected-v1";

  function question(cells) {
    const [qid, text, subject, category, parents, column, row] = cells;
    return { qid, text, subject, category, parents, column, row };
  }

  function states(run, judge, rule, item) {
    const answers = run.judges[judge];
    if (!answers) return "";
    const changed = answers.rules[rule] ? answers.rules[rule].states[item] : 0;
    return changed || answers.answers[item] || "";
  }

  function tilesOf(text, tiles) {
    const size = text.length / tiles;
    return Array.from({ length: tiles }, (_, tile) => text.slice(tile * size, (tile + 1) * size));
  }

  function count(text) {
    const counts = { y: 0, n: 0, z: 0, "?": 0, ".": 0, "-": 0 };
    for (const letter of text) counts[letter] += 1;
    return counts;
  }

  // The score of each item, 0 to 100; null where it has none.
  const without = new WeakMap(); // no scores, for each set
  function scores(set, run, judge, rule) {
    if (!without.has(set)) without.set(set, new Array(set.ids.length).fill(null));
    return (run.scores[judge] || {})[rule] || without.get(set);
  }

  // What became of each tile of an item; nothing where it has no answers.
  function tallies(set, run, judge, rule, item) {
    const verdicts = (run.judges[judge] || { rules: {} }).rules[rule];
    return ((verdicts && verdicts.tiles[item]) || []).map((place) => {
      const [holds, no, zeroed, invalid, asked, score] = set.tallies[place];
      return { holds, no, zeroed, invalid, asked, score };
    });
  }

  function names(set, part) {
    const all = new Set();
    for (const run of set.runs) for (const name of part(run)) all.add(name);
    return [...all].sort();
  }
  const judges = (set) => names(set, (run) => [...Object.keys(run.judges), ...Object.keys(run.scores)]);
  const rules = (set, judge) => names(set, (run) => Object.keys(run.scores[judge] || {}));

  // What the address chooses, with what is usual where it chooses nothing, or what is not here.
  function view(sets, state) {
    const byItem = sets.find((set) => state.item && set.ids.includes(state.item));
    const set = byItem || sets.find((other) => other.benchmark === state.benchmark) || sets[0];
    if (!set) return null;
    const judgesHere = judges(set);
    const judge = judgesHere.includes(state.judge) ? state.judge : judgesHere[0] || "";
    const rulesHere = rules(set, judge);
    const usual = rulesHere.includes(PREFERRED) ? PREFERRED : rulesHere[0] || "";
    const rule = rulesHere.includes(state.rule) ? state.rule : usual;
    const run = set.runs.find((r) => r.name === state.model)
      || set.runs.find((r) => r.run === state.model || r.name.startsWith(`${state.model} (`))
      || set.runs[0];
    return { set, run, judge, rule };
  }

  // Categories with a question that does not hold on some tile, by place in the set's list.
  function failed(set, text, item) {
    const places = new Set();
    const asked = set.questions[item];
    for (let at = 0; at < text.length; at += 1) {
      const letter = text[at];
      if (letter === "n" || letter === "z" || letter === "?") places.add(asked[at % asked.length][3]);
    }
    return places;
  }

  // How many of a run's answers about an item two judges count differently.
  function disagreement(run, item) {
    const all = Object.values(run.judges).map((judge) => judge.answers[item] || "");
    let number = 0;
    for (let at = 0; at < Math.max(0, ...all.map((text) => text.length)); at += 1) {
      const counted = all.filter((text) => text[at] && text[at] !== ".").map((text) => text[at] === "y");
      if (counted.includes(true) && counted.includes(false)) number += 1;
    }
    return number;
  }

  function spread({ set, judge, rule }, item) {
    const scoresHere = set.runs.map((run) => scores(set, run, judge, rule)[item]).filter((s) => s !== null);
    return scoresHere.length > 1 ? Math.max(...scoresHere) - Math.min(...scoresHere) : 0;
  }

  // The items that a choice leaves, in its order.
  function select(chosen, state) {
    const { set, run, judge, rule } = chosen;
    const mine = scores(set, run, judge, rule);
    const words = (state.text || "").toLowerCase().split(/\s+/).filter(Boolean);
    const low = state.min ? Number(state.min) : -1, high = state.max ? Number(state.max) : 101;
    const absent = new Set(run.absent);
    const left = [];
    for (let item = 0; item < set.ids.length; item += 1) {
      if (absent.has(item)) continue;
      if (state.source && set.sources[set.source[item]] !== state.source) continue;
      if ((state.min || state.max) && (mine[item] === null || mine[item] < low || mine[item] > high)) continue;
      if (words.length && !holds(set, item, words)) continue;
      if (state.failed && !fails(chosen, item, state.failed)) continue;
      if (state.show === "disagree" && !disagreement(run, item)) continue;
      left.push(item);
    }
    return ordered(left, chosen, state);
  }

  function holds(set, item, words) {
    const text = [set.ids[item], set.prompts[item], ...set.questions[item].map((q) => q[1])]
      .join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  }

  function fails({ set, run, judge, rule }, item, category) {
    const places = failed(set, states(run, judge, rule, item), item);
    return [...places].some((place) => set.l2[place] === category || set.l1[place] === category);
  }

  function ordered(left, chosen, state) {
    const { set, run, judge, rule } = chosen;
    const mine = scores(set, run, judge, rule);
    const order = state.sort || { disagree: "disagree", differ: "differ" }[state.show];
    const keys = {
      low: (item) => (mine[item] === null ? Infinity : mine[item]),
      high: (item) => (mine[item] === null ? Infinity : -mine[item]),
      differ: (item) => -spread(chosen, item),
      disagree: (item) => -disagreement(run, item),
    };
    if (!keys[order]) return left;
    const value = new Map(left.map((item) => [item, keys[order](item)]));
    return left.sort((a, b) => value.get(a) - value.get(b) || a - b);
  }

  function picture(set, run, item) {
    const pictures = run.pictures;
    if (pictures.other[item]) return pictures.other[item];
    if (pictures.none.includes(item)) return "";
    return pictures.base + encodeURIComponent(set.ids[item]).replace(/[!'()*]/g,
      (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase()) + pictures.end;
  }

  // The words of an answer as the judge gave them.
  function words(run, judge, item, at) {
    const answers = run.judges[judge];
    const letter = (answers.answers[item] || "")[at];
    return { y: "yes", n: "no" }[letter] || ((answers.others[item] || {})[at] ?? "");
  }

  Dpg.model = {
    KINDS, question, states, tilesOf, count, scores, tallies, judges, rules, view,
    failed, disagreement, spread, select, picture, words,
  };
})();
