// Finds the words of a prompt that its questions ask about.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const SMALL = new Set(("a an and are as at be by for from has have in is it its of on or the there "
    + "this that to with").split(" "));

  const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

  function places(prompt, phrase) {
    const body = phrase.split(/\s+/).map(escape).join("\\s+");
    const pattern = new RegExp(`(?<![\\p{L}\\p{N}])${body}(?:s|es)?(?![\\p{L}\\p{N}])`, "giu");
    return Array.from(prompt.matchAll(pattern), (match) => [match.index, match.index + match[0].length]);
  }

  // What one question names: whole phrases, or where the prompt has none of them, their longer words.
  function named(prompt, subject) {
    const ends = [];
    for (const part of subject.slice(0, 400).split(/[,;]/)) {
      const phrase = part.trim().toLowerCase();
      if (phrase.length < 2 || SMALL.has(phrase)) continue;
      const whole = places(prompt, phrase);
      const words = phrase.split(/[\s-]+/).filter((word) => word.length > 3 && !SMALL.has(word));
      ends.push(...(whole.length ? whole : words.flatMap((word) => places(prompt, word))));
    }
    return ends;
  }

  // The prompt in pieces that join to it: {text, qids}; qids are the questions that name a piece.
  Dpg.spans = function (prompt, questions) {
    const marks = questions.flatMap((q) =>
      named(prompt, q.subject).map(([start, end]) => ({ start, end, qid: q.qid })));
    const cuts = new Set([0, prompt.length, ...marks.flatMap((mark) => [mark.start, mark.end])]);
    const ends = [...cuts].sort((a, b) => a - b);
    const pieces = [];
    for (let n = 0; n + 1 < ends.length; n += 1) {
      const [start, end] = [ends[n], ends[n + 1]];
      const over = marks.filter((mark) => mark.start <= start && mark.end >= end);
      const qids = [...new Set(over.map((mark) => mark.qid))].sort((a, b) => a - b);
      pieces.push({ text: prompt.slice(start, end), qids });
    }
    return pieces;
  };
})();
