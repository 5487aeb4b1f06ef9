// Tables to take along, made from what the page holds: works from a file, asks nobody.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  function cell(value) {
    let text = value === null || value === undefined ? "" : String(value);
    if (typeof value === "string" && /^[=+\-@\t\r\n]/.test(text)) text = `'${text}`; // else a spreadsheet runs it
    return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }

  Dpg.csv = (rows) => rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";

  // Every result of every item: a row for each run, judge and rule.
  Dpg.itemTable = function (data) {
    const rows = [["item_id", "source", "run", "model", "judge", "rule", "score", "tile_scores"]];
    for (const set of data.sets) {
      for (const run of set.runs) {
        for (const [judge, answers] of Object.entries(run.judges)) {
          for (const rule of Object.keys(answers.rules)) {
            const scores = Dpg.model.scores(set, run, judge, rule);
            set.ids.forEach((id, item) => {
              const tallies = Dpg.model.tallies(set, run, judge, rule, item);
              if (!tallies.length) return;
              const tiles = scores[item] === null ? [] : tallies.map((tally) => tally.score);
              rows.push([id, set.sources[set.source[item]], run.run, run.name, judge, rule, scores[item], tiles.join(" ")]);
            });
          }
        }
      }
    }
    return rows;
  };

  function save(name, type, text) {
    const address = URL.createObjectURL(new Blob([text], { type }));
    const link = Dpg.el("a", { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  // Whether a text is on the clipboard; where the browser refuses that, it is selected.
  async function copied(node) {
    try {
      await navigator.clipboard.writeText(node.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(node);
      return false;
    }
  }

  // A button beside each text that is there to be pasted elsewhere.
  function copies() {
    for (const text of document.querySelectorAll("pre[data-copy]")) {
      const label = `Copy ${text.dataset.copy}`;
      const button = Dpg.button(label, async () => {
        button.textContent = (await copied(text)) ? "Copied" : "Selected: copy it with your keyboard";
        setTimeout(() => { button.textContent = label; }, 2000);
      });
      text.before(button);
    }
  }

  Dpg.downloads = function (data) {
    const place = document.querySelector("[data-downloads]");
    if (!place) return;
    const button = (text, act) => Dpg.el("button", { type: "button", class: "plain", click: act }, text);
    copies();
    place.append(
      button("items.csv", () => save("items.csv", "text/csv", Dpg.csv(Dpg.itemTable(data)))),
      button("answers.json", () => save("answers.json", "application/json", JSON.stringify(data))));
  };
})();
