// Steps done and undone, kept in the browser under the file's own hash until they are downloaded.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  // `storage` may refuse (private windows, full): then the steps live as long as the page.
  Dpg.history = function (key, storage, items) {
    let steps = [], undone = [], saved = 0, kept = true;
    const none = [];
    let byItem = new Map();
    const ids = new Map(items.map((item) => [item.id, item]));
    const fits = (step) => {
      const item = ids.get(step.id);
      const rows = step.rows || (step.row === undefined ? [] : [step.row]);
      return item && rows.every((n) => n >= 0 && n < item.size);
    };
    try {
      const text = storage.getItem(key);
      if (text) {
        const old = JSON.parse(text);
        steps = old.steps.filter(fits);
        saved = Math.min(old.saved || 0, steps.length);
      }
    } catch {
      kept = false;
    }
    function sort() {
      byItem = new Map();
      for (const step of steps) byItem.set(step.id, [...(byItem.get(step.id) || none), step]);
    }
    sort();
    function keep() {
      sort();
      try {
        if (steps.length) storage.setItem(key, JSON.stringify({ steps, saved }));
        else storage.removeItem(key);
        kept = true;
      } catch {
        kept = false;
      }
    }
    return {
      of: (id) => byItem.get(id) || none,
      add(step) { steps = [...steps, step]; undone = []; keep(); },
      undo() {
        const step = steps[steps.length - 1];
        if (!step) return null;
        steps = steps.slice(0, -1);
        undone.push(step);
        saved = saved > steps.length ? -1 : saved;
        keep();
        return step;
      },
      redo() {
        const step = undone.pop();
        if (step) { steps = [...steps, step]; keep(); }
        return step || null;
      },
      downloaded() { saved = steps.length; keep(); },
      clear() { steps = []; undone = []; saved = 0; keep(); },
      get canUndo() { return steps.length > 0; },
      get canRedo() { return undone.length > 0; },
      get isSaved() { return saved === steps.length; },
      get isKept() { return kept; },
    };
  };
})();
