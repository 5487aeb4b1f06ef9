// Reads the page's data: items, runs, answers and their figures, which the toolkit computed.
// Scripts look figures up, filter, sort and draw; all that they compute is by how much two scores of
// an item differ.
//
// `set.tallies` holds what became of tiles, each tally once: [holds, no, zeroed, invalid, questions,
// score]; the `tiles` of an item are places in it. Where there is no score stands null.
// `groups` are the tables: of which set, judge and rule, their rows, and `matrix`: every two ranked
// rows as [first, second, difference, low, high, p after Holm, told apart, items]. A row's `l1`, `l2`
// and `sources` are [name, score, low, high, before zeroing, number].
// `states` are an item's answers as a rule sees them: 0 where they are as they were given, 1 where they
// are as under the judge's first rule (unpack.js says how they are written).
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
    const [qid, text, subject, category, parents, column, row, right = "yes"] = cells;
    return { qid, text, subject, category, parents, column, row, right };
  }

  function states(run, judge, rule, item) {
    const answers = run.judges[judge];
    if (!answers) return "";
    let changed = answers.rules[rule] ? answers.rules[rule].states[item] : 0;
    if (changed === 1) changed = Object.values(answers.rules)[0].states[item];
    return changed || answers.answers[item] || "";
  }

  const answered = (text) => /[^.-]/.test(text);

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

  const unique = (values) => [...new Set(values)];
  const within = (data, set) => data.groups.filter((group) => data.sets[group.set] === set);
  // Of the judges or rules of some tables, that of the largest table first, and of those of one size
  // that of the preferred rule.
  const byRows = (groups, part) => unique([...groups].sort((a, b) => b.rows.length - a.rows.length
    || (b.rule === PREFERRED) - (a.rule === PREFERRED)).map((group) => group[part]));
  const judges = (data, set) => byRows(within(data, set), "judge");
  const rules = (data, set, judge) => {
    const all = byRows(within(data, set).filter((group) => group.judge === judge), "rule");
    return all.includes(PREFERRED) ? [PREFERRED, ...all.filter((rule) => rule !== PREFERRED)] : all;
  };

  const named = (set, name) => set.runs.find((r) => r.name === name)
    || set.runs.find((r) => r.run === name || r.name.startsWith(`${name} (`));

  // What the address chooses, with what is usual where it chooses nothing, or what is not here.
  // `rows` are those of the chosen tables, as places; `runs` stand in their order; `best` leads them.
  function view(data, state) {
    const { sets } = data;
    const set = sets.find((other) => other.benchmark === state.benchmark)
      || sets.find((other) => state.item && other.ids.includes(state.item)) || sets[0];
    if (!set) return null;
    const judgesHere = judges(data, set);
    const judge = judgesHere.includes(state.judge) ? state.judge
      : judgesHere.find((name) => rules(data, set, name).includes(state.rule)) || judgesHere[0] || "";
    const rulesHere = rules(data, set, judge);
    const rule = rulesHere.includes(state.rule) ? state.rule : rulesHere[0] || "";
    const groups = within(data, set).filter((group) => group.judge === judge && group.rule === rule)
      .sort((a, b) => b.rows.length - a.rows.length);
    const rows = groups.flatMap((group) => group.rows);
    const bestRow = rows.length ? data.rows[rows[0]] : null;
    const best = (bestRow && set.runs.find((r) => r.index === bestRow.run)) || set.runs[0];
    const run = named(set, state.model) || best;
    const places = rows.map((place) => data.rows[place].run);
    const place = (r) => (places.includes(r.index) ? places.indexOf(r.index) : places.length);
    const runs = [...set.runs].sort((a, b) => place(a) - place(b));
    return { set, run, judge, rule, groups, rows, runs, best, judges: judgesHere, rules: rulesHere };
  }

  // The row of a run in the chosen tables, that over most items; undefined where it has none.
  const rowOf = (data, { rows }, run) => rows.map((place) => ({ ...data.rows[place], place }))
    .find((row) => row.run === run.index);

  // Names in the address that this report does not have, as sentences.
  function unknown(data, state) {
    const chosen = view(data, state);
    if (!chosen) return [];
    const { set, run, judge, rule } = chosen;
    const missing = (what, name, instead) => `This report has no ${what} “${name.slice(0, 80)}”; ${instead.slice(0, 80)} is shown.`;
    const sentences = [];
    const check = (what, name, there, instead) => {
      if (name && !there) sentences.push(missing(what, name, instead));
    };
    check("benchmark", state.benchmark, data.sets.some((s) => s.benchmark === state.benchmark), set.benchmark);
    check("judge", state.judge, judge === state.judge, judge);
    check("rule", state.rule, rule === state.rule, rule);
    check("model", state.model, set.runs.length && named(set, state.model), run ? run.name : "nothing");
    check("category", state.failed, [...set.l1, ...set.l2].includes(state.failed), "nothing");
    check("source", state.source, set.sources.includes(state.source), "nothing");
    for (const side of ["first", "second"]) {
      check("model", state[side], data.rows.some((row) => row.name === state[side]), "another");
    }
    check("item", state.item, data.sets.some((s) => s.ids.includes(state.item)), "no item");
    check("item", state.pair, data.sets.some((s) => s.ids.includes(state.pair)), "another");
    return sentences;
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
      if (state.show === "cut" && !run.cut.includes(item)) continue;
      left.push(item);
    }
    return ordered(left, chosen, state);
  }

  // What is searched for words: id, prompt and questions of each item, made once.
  const searched = new WeakMap();
  function holds(set, item, words) {
    if (!searched.has(set)) {
      searched.set(set, set.ids.map((id, n) => [id, set.prompts[n], ...set.questions[n].map((q) => q[1])]
        .join(" ").toLowerCase()));
    }
    const text = searched.get(set)[item];
    return words.every((word) => text.includes(word));
  }

  function fails({ set, run, judge, rule }, item, category) {
    const places = failed(set, states(run, judge, rule, item), item);
    return [...places].some((place) => set.l2[place] === category || set.l1[place] === category);
  }

  function ordered(left, chosen, state) {
    const { set, run, judge, rule } = chosen;
    const mine = scores(set, run, judge, rule);
    const order = state.sort || { disagree: "disagree", differ: "differ" }[state.show] || "low";
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

  // Questions of a category that do not hold on some tile, worst first: on most tiles, "no" before
  // what a parent zeroed, then of the item with the lowest score.
  function failures({ set, run, judge, rule }, category) {
    const mine = scores(set, run, judge, rule);
    const list = [];
    for (let item = 0; item < set.ids.length; item += 1) {
      const letters = states(run, judge, rule, item);
      const asked = set.questions[item];
      for (let n = 0; letters && n < asked.length; n += 1) {
        const place = asked[n][3];
        if (category && set.l1[place] !== category && set.l2[place] !== category) continue;
        let fails = 0, no = 0;
        for (let at = n; at < letters.length; at += asked.length) {
          if (letters[at] === "n" || letters[at] === "?") no += 1;
          if (letters[at] === "n" || letters[at] === "?" || letters[at] === "z") fails += 1;
        }
        if (fails) list.push({ item, n, fails, no, score: mine[item] });
      }
    }
    const low = (entry) => (entry.score === null ? Infinity : entry.score);
    return list.sort((a, b) => b.fails - a.fails || b.no - a.no || low(a) - low(b) || a.item - b.item || a.n - b.n);
  }

  // The address of an item's grid; of one of its tiles where they are files of their own.
  function picture(set, run, item, tile = null) {
    const pictures = run.pictures;
    const other = pictures.other[item];
    if (Array.isArray(other)) return other[tile || 0] || "";
    if (other) return other;
    if (pictures.none.includes(item)) return "";
    return pictures.base + encodeURIComponent(set.ids[item]).replace(/[!'()*]/g,
      (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase()) + pictures.end;
  }

  const separate = (run, item) => Array.isArray(run.pictures.other[item]);

  // The words of an answer as the judge gave them.
  function words(run, judge, item, at) {
    const answers = run.judges[judge];
    const letter = (answers.answers[item] || "")[at];
    return (answers.others[item] || {})[at] ?? ({ y: "yes", n: "no" }[letter] || "");
  }

  Dpg.model = {
    KINDS, question, states, answered, tilesOf, count, scores, tallies, view, rowOf, unknown, named,
    failed, failures, disagreement, spread, select, picture, separate, words,
  };
})();
