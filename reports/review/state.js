// What a reviewer decided, as a list of steps, and what follows from it: the questions as they stand
// now, whom they rest on, the corrected file. Nothing here touches the page.
//
// `data.items` are [id, prompt, rows, number of flags and findings]; a row is the cells of the file's columns without the item's id
// and prompt, then a prompt of its own or null, then what `prompts check` says of it. A step is
// {id, do, rows} (strike, restore), {id, do: "edit", row, cells}, {id, do: "accept", row, flag} or
// {id, do: "done", value}. Rows are named by their place within their item.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const NUMBER = /^\s*(-?[0-9]{1,9})(?:\.0*)?\s*$/;
  const MISSING = new Set(["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]); // as the toolkit reads cells
  const UNCOVERED = "uncovered"; // a flag of the whole item, wherever it stands

  // Parent numbers that a cell names, and its parts that are none.
  function dependency(cell) {
    const numbers = [], words = [];
    if (MISSING.has(cell.trim())) return { numbers, words };
    for (const part of cell.split(",")) {
      const match = NUMBER.exec(part);
      if (!match) words.push(part.trim());
      else if (Number(match[1])) numbers.push(Number(match[1]));
    }
    return { numbers, words };
  }

  const split = (cell) => (cell || "").split(" | ").map((flag) => flag.trim()).filter(Boolean);
  const category = (tuple) => tuple.split("(")[0].trim();
  const listed = (numbers) => numbers.length < 2 ? numbers.join("")
    : `${numbers.slice(0, -1).join(", ")} and ${numbers[numbers.length - 1]}`;

  // The parents of a row where struck ones are replaced by their own, as far up as it takes; struck
  // ones that were passed on the way are put into `passed`.
  function standing(row, struck, passed) {
    return row.named.flatMap((qid) => {
      if (!struck.has(qid)) return [qid];
      if (passed.has(qid)) return [];
      passed.add(qid);
      return standing(struck.get(qid), struck, passed);
    });
  }

  // The items; their rows are looked at when they are asked for, since there can be very many.
  function prepared(data) {
    const place = Object.fromEntries(data.columns.map((name, n) => [name, n]));
    return data.items.map(([id, text, raw, open], index) => {
      let rows = null;
      return { id, text, index, place, open, size: raw.length, get rows() {
        rows = rows || raw.map((cells, n) => ({ n, cells, qid: Number(NUMBER.exec(cells[place.proposition_id])[1]),
          own: cells[data.columns.length], findings: cells[data.columns.length + 1] || [] }));
        return rows;
      } };
    });
  }

  // What the list tells of an item without looking at its rows: nothing was done to it.
  const untouched = (item) => ({ open: item.open, done: false, changed: false, gone: false });

  // The item as it stands after the steps.
  function view(item, steps) {
    const { place } = item;
    const rows = item.rows.map((row) => ({ n: row.n, qid: row.qid, cells: row.cells.slice(0, Object.keys(place).length),
      own: row.own, findings: row.findings, struck: false, edited: false, flags: split(row.cells[place.review]) }));
    let done = false;
    for (const step of steps) {
      if (step.do === "done") done = step.value;
      else if (step.do === "accept") rows[step.row].flags = rows[step.row].flags.filter((flag) => flag !== step.flag);
      else if (step.do === "edit") {
        const row = rows[step.row];
        for (const [name, value] of Object.entries(step.cells)) row.cells[place[name]] = value;
        row.flags = row.flags.filter((flag) => flag.startsWith(UNCOVERED));
        Object.assign(row, { edited: true, findings: [] });
      } else for (const n of step.rows) rows[n].struck = step.do === "strike";
    }
    const struck = new Map();
    for (const row of rows) {
      const { numbers, words } = dependency(row.cells[place.dependency]);
      Object.assign(row, { named: numbers, words, question: row.cells[place.question_natural_language],
        tuple: row.cells[place.tuple], category: category(row.cells[place.tuple]) });
      if (row.struck && !struck.has(row.qid)) struck.set(row.qid, row);
    }
    for (const row of rows) if (!row.struck) struck.delete(row.qid);
    for (const row of rows) {
      const passed = new Set();
      const parents = standing(row, struck, passed).filter((qid) => qid !== row.qid || row.named.includes(qid));
      row.parents = [...new Set(parents)];
      row.lost = row.struck ? [] : [...passed];
    }
    const wide = rows.flatMap((row) => row.flags.filter((flag) => flag.startsWith(UNCOVERED)).map((flag) => ({ row: row.n, flag })));
    for (const row of rows) row.flags = row.flags.filter((flag) => !flag.startsWith(UNCOVERED));
    return { id: item.id, text: item.text, index: item.index, place, rows, done, wide, changed: rows.some((row) => row.struck || row.edited),
      open: wide.length + rows.reduce((sum, row) => sum + (row.struck ? 0 : row.flags.length + row.findings.length), 0),
      gone: rows.every((row) => row.struck) };
  }

  // The questions that rest on a row, directly or not, and stand.
  function below(item, row) {
    const numbers = new Set([row.qid]);
    let size = 0;
    while (size !== numbers.size) {
      size = numbers.size;
      for (const other of item.rows) if (!other.struck && other.parents.some((qid) => numbers.has(qid))) numbers.add(other.qid);
    }
    return item.rows.filter((other) => other !== row && !other.struck && numbers.has(other.qid) && other.qid !== row.qid);
  }

  // What became of those that rested on a struck question, in a sentence; empty where none did.
  function fate(item, row) {
    const children = item.rows.filter((other) => !other.struck && other.lost.includes(row.qid));
    const groups = new Map();
    for (const { qid, parents } of children) {
      const on = parents.length ? listed(parents) : "nothing";
      groups.set(on, [...(groups.get(on) || []), qid]);
    }
    return [...groups].map(([on, qids]) => (qids.length > 1 ? `Questions ${listed(qids)} now rest on ${on}.`
      : `Question ${qids[0]} now rests on ${on}.`)).join(" ");
  }

  // Why an edit cannot be taken, by field; empty where it can.
  function faults(item, row, { question, subject, parents }) {
    const wrong = {};
    const plain = (text) => text.trim().split(/\s+/).join(" ").toLowerCase();
    const twin = item.rows.find((other) => other !== row && !other.struck && plain(other.question) === plain(question));
    if (!question.trim()) wrong.question = "A question needs words; strike it to leave it out.";
    else if (twin) wrong.question = `Question ${twin.qid} asks that already.`;
    if (subject.includes("\n")) wrong.subject = "Write it in one line.";
    const { numbers, words } = dependency(parents);
    const stand = new Map(item.rows.filter((other) => !other.struck).map((other) => [other.qid, other]));
    const bad = numbers.find((qid) => qid === row.qid || !stand.has(qid));
    const late = numbers.find((qid) => stand.has(qid) && stand.get(qid).n > row.n);
    if (words.length) wrong.parents = `Write numbers of questions with commas between them, not “${words[0]}”.`;
    else if (bad === row.qid) wrong.parents = "A question cannot rest on itself.";
    else if (bad !== undefined) wrong.parents = `There is no question ${bad}.`;
    else if (late !== undefined) wrong.parents = `Question ${late} comes later; a question rests on earlier ones.`;
    return wrong;
  }

  // The cells that an edit changes.
  function cells(row, place, { question, subject, kind, parents }) {
    const changed = {};
    const before = { kind: row.category, subject: subjectOf(row.tuple), parents: row.parents.join(", ") };
    if (question !== row.question) changed.question_natural_language = question.trim();
    if (kind !== before.kind || subject !== before.subject) changed.tuple = `${kind} (${subject.trim()})`;
    const columns = `${row.cells[place.category_broad]} - ${row.cells[place.category_detailed]}`;
    const key = (text) => text.toLowerCase().replace(/[\s-]+$/, "");
    if (kind !== before.kind || key(columns) !== key(kind)) {
      const [broad, ...detail] = kind.split("-");
      changed.category_broad = broad.trim();
      changed.category_detailed = detail.join("-").trim();
    }
    if (parents.trim() !== before.parents) changed.dependency = dependency(parents).numbers.join(",") || "0";
    return changed;
  }

  const subjectOf = (tuple) => /^[^(]*\(([\s\S]*)\)\s*$/.exec(tuple)?.[1] ?? tuple.slice(tuple.indexOf("(") + 1);

  // The rows of the file as they stand; struck ones are left out, of items without questions all.
  function table(data, views) {
    const rows = [data.header];
    for (const item of views) {
      const left = item.rows.filter((row) => !row.struck);
      left.forEach((row, n) => {
        const changed = [...row.cells];
        if (row.lost.length) changed[item.place.dependency] = [...row.parents, ...row.words].join(",") || "0";
        if ("review" in item.place) {
          const flags = [...(n ? [] : [...new Set(item.wide.map(({ flag }) => flag))]), ...row.flags];
          changed[item.place.review] = flags.join(" | ");
        }
        const by = { item_id: item.id, text: row.own ?? item.text };
        rows.push(data.header.map((name) => by[name] ?? changed[item.place[name]]));
      });
    }
    return rows;
  }

  const cell = (text) => (/[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const csv = (rows) => rows.map((row) => row.map(cell).join(",") + "\n").join("");

  Dpg.state = { prepared, untouched, view, below, fate, faults, cells, table, csv, dependency, subjectOf, listed };
})();
(function () {
  // What a step was, in words.
  Dpg.stepName = function (step, item) {
    const at = (n) => item.rows[n].qid;
    if (step.do === "done") return step.value ? "marked as reviewed" : "marked as not reviewed";
    if (step.do === "accept") return `flag removed from question ${at(step.row)}`;
    if (step.do === "edit") return `question ${at(step.row)} edited`;
    const what = step.do === "strike" ? "struck" : "restored";
    return `question${step.rows.length > 1 ? "s" : ""} ${Dpg.state.listed(step.rows.map(at))} ${what}`;
  };
})();
