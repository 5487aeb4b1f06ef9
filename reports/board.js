// The leaderboard's own controls: columns, a row to look for, colours, finer categories; and the way
// from a figure to the questions that failed.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  const { el, points } = Dpg;
  const COLOURS = 8;

  // Figures become links to what failed, models' names to their pages.
  function linked(data, board) {
    const group = data.groups[Number(board.dataset.group)];
    for (const row of board.querySelectorAll(".models tbody tr")) {
      const name = Dpg.nameOfRun(Number(row.dataset.run));
      for (const cell of row.querySelectorAll("td[data-failed]")) {
        const figure = cell.querySelector(".figure");
        if (cell.dataset.value === "" || !group) continue;
        const link = el("a", { class: figure.className, title: `What ${Dpg.short(name, 60)} failed in ${cell.dataset.failed}` },
          figure.textContent);
        aim(link, () => ({ view: "failures", model: name, failed: cell.dataset.failed, judge: group.judge, rule: group.rule }));
        figure.replaceWith(link);
      }
    }
  }

  // A link whose address is that of now, with what is to change: written when it is pointed at.
  function aim(link, changes) {
    const write = () => { link.href = Dpg.address.link(changes()); };
    link.addEventListener("mouseenter", write);
    link.addEventListener("focus", write);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      Dpg.address.set(changes());
    });
    write();
  }
  Dpg.aim = aim;

  // Columns that the reader adds or takes away; `columns` in the address has those that are not as usual.
  function columns(board, state) {
    const usual = (head) => !head.dataset.usual || head.dataset.usual === "on";
    const changed = new Set((state.columns || "").split(".").filter(Boolean));
    for (const head of board.querySelectorAll("thead th[data-column]")) {
      if (!head.dataset.usual) head.dataset.usual = head.classList.contains("off") ? "off" : "on";
      const name = head.dataset.column;
      const on = changed.has(name) ? !usual(head) : usual(head);
      for (const cell of board.querySelectorAll(`[data-column="${name}"]`)) cell.classList.toggle("off", !on);
      const box = board.querySelector(`input[value="${name}"]`);
      if (box) box.checked = on;
    }
    fit(board.querySelector(".scroll"));
  }

  function chooseColumns(board) {
    const place = board.querySelector("[data-columns]");
    const heads = Array.from(board.querySelectorAll("thead th[data-column]"));
    const flip = (name) => {
      const changed = new Set((Dpg.address.get().columns || "").split(".").filter(Boolean));
      if (!changed.delete(name)) changed.add(name);
      Dpg.address.set({ columns: [...changed].sort().join(".") }, true);
    };
    place.append(
      el("label", { class: "find" }, el("span", { class: "sr" }, "Find a model"), el("input", { type: "search", name: "find",
        placeholder: "Find a model", autocomplete: "off", input: (event) => Dpg.address.set({ find: event.target.value }, true) })),
      heads.length ? el("details", { class: "menu" }, el("summary", {}, "Columns"),
        el("fieldset", {}, el("legend", { class: "sr" }, "Columns"), heads.map((head) => el("label", {},
          el("input", { type: "checkbox", value: head.dataset.column, change: () => flip(head.dataset.column) }),
          head.textContent)))) : "");
  }

  // A table that has room needs no box that scrolls: then its heading stays below the bar.
  function fit(box) {
    if (!box || !box.offsetParent) return;
    box.classList.remove("roomy");
    const roomy = box.scrollWidth <= box.clientWidth + 1;
    box.classList.toggle("roomy", roomy);
    if (roomy) box.removeAttribute("tabindex");
    else box.setAttribute("tabindex", "0");
  }
  const fitAll = () => document.querySelectorAll(".board:not([hidden]) .scroll").forEach(fit);

  // Colours: eight at most. With more runs the reader gives them to those to be followed.
  function colours(data, state, usual) {
    const asked = state.colours === undefined || state.colours === "" ? null
      : state.colours.split(".").map(Number).filter((index) => Number.isInteger(index));
    const chosen = (asked || usual).slice(0, COLOURS);
    const root = document.documentElement.style;
    for (const run of data.sets.flatMap((set) => set.runs)) {
      const at = chosen.indexOf(run.index);
      root.setProperty(`--run-${run.index}`, at < 0 ? "var(--grey)" : `var(--c${at})`);
    }
    for (const dot of document.querySelectorAll(".board:not([hidden]) .dots [data-run]")) {
      if (chosen.includes(Number(dot.dataset.run))) dot.parentElement.append(dot); // above the grey ones
    }
    return chosen;
  }

  function legend(data, place, chosen, usual, group) {
    const runs = group.rows.map((row) => data.rows[row])
      .map((row) => data.sets.flatMap((set) => set.runs).find((run) => run.index === row.run)).filter(Boolean);
    const flip = (index) => {
      const next = chosen.includes(index) ? chosen.filter((other) => other !== index) : [...chosen, index].slice(-COLOURS);
      Dpg.address.set({ colours: next.join(".") || "none" }, true);
    };
    Dpg.redraw(place, el("div", { class: "chips legend", role: "group", "aria-label": "Colours of models" },
      runs.map((run) => el("button", { type: "button", class: "chip", "aria-pressed": String(chosen.includes(run.index)),
        click: () => flip(run.index) }, Dpg.swatch(run), Dpg.name(run, 40)))));
  }

  // Finer categories and sources: a line a part, a column a model, drawn when they are unfolded.
  function level(data, group, key, title, link) {
    const rows = group.rows.map((place) => ({ ...data.rows[place], place }));
    const names = [...new Set(rows.flatMap((row) => row[key].map(([name]) => name)))].sort();
    if (!names.length) return null;
    const all = rows.flatMap((row) => row[key].map(([, score]) => score)).filter((score) => score !== null);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const heat = (score) => (score === null || high === low ? "" : ` h${Math.round((8 * (score - low)) / (high - low))}`);
    const cell = (row, name) => {
      const [, score, from, to, , number] = row[key].find(([other]) => other === name) || [name, null, null, null, null, 0];
      const about = score === null ? null : `${name}: ${points(score)}${from === null ? "" : ` [${points(from, 1)}, ${points(to, 1)}]`}, n=${number}`;
      const text = el(link && score !== null ? "a" : "span", { title: about, class: "figure" }, points(score, 1));
      if (link && score !== null) {
        aim(text, () => ({ view: "failures", model: Dpg.nameOfRun(row.run), failed: name, judge: group.judge, rule: group.rule }));
      }
      return el("td", { class: `num${heat(score)}` }, text);
    };
    return el("div", {}, el("p", { class: "hint" }, `${title}; ground from ${points(low, 0)} to ${points(high, 0)}. Point at a figure for its interval and n.`),
      Dpg.region(title, el("table", { class: "level" }, el("caption", { class: "sr" }, `${title}, a column a model`),
        el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "first" }, "Part"), rows.map((row) => el("th", { scope: "col", class: "num" },
          el("span", { class: "slant", title: row.name }, Dpg.middle(row.name)))))),
        el("tbody", {}, names.map((name) => el("tr", {}, el("th", { scope: "row", class: "first", dir: "auto" }, Dpg.category(name)),
          rows.map((row) => cell(row, name))))))));
  }

  const LEVELS = [["l2", "Finer categories (L2)", true], ["sources", "By source of the prompt", false]];

  function levels(data, board, state) {
    const group = data.groups[Number(board.dataset.group)];
    const open = new Set((state.open || "").split("."));
    const flip = (key, on) => {
      const now = new Set((Dpg.address.get().open || "").split(".").filter(Boolean));
      if (on === now.has(key)) return;
      if (on) now.add(key);
      else now.delete(key);
      Dpg.address.set({ open: [...now].sort().join(".") }, true);
    };
    const place = board.querySelector("[data-levels]");
    if (!place.children.length) {
      place.append(...LEVELS.filter(([key]) => group.rows.some((row) => data.rows[row][key].length)).map(([key, title]) =>
        el("details", { class: "more", "data-level": key }, el("summary", { click: (event) => {
          event.preventDefault();
          flip(key, !event.target.parentElement.open);
        } }, title))));
    }
    for (const details of place.querySelectorAll("[data-level]")) {
      const [key, title, link] = LEVELS.find(([name]) => name === details.dataset.level);
      details.open = open.has(key);
      if (details.open && details.children.length < 2) details.append(level(data, group, key, title, link) || "");
    }
  }

  // Rows of models whose names have the words that are looked for.
  function find(chosen, state) {
    const words = (state.find || "").toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of document.querySelectorAll("table[data-filterable] tr[data-text]")) {
      const text = row.dataset.text.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    for (const input of document.querySelectorAll("input[name=find]")) {
      if (input !== document.activeElement) input.value = state.find || "";
    }
  }

  Dpg.board = function (data) {
    const boards = Array.from(document.querySelectorAll("#boards > .board[data-group]"));
    const shown = () => boards.filter((board) => !board.hidden);
    const usual = data.colours;
    for (const element of document.querySelectorAll(".key [data-script]")) element.hidden = false;
    Dpg.part("board", [...Dpg.CHOSEN, "open", "columns"], (chosen, state) => {
      for (const board of shown()) {
        if (!("linked" in board.dataset)) {
          board.dataset.linked = "";
          linked(data, board);
          chooseColumns(board);
        }
        columns(board, state);
        levels(data, board, state);
      }
      fitAll();
    });
    Dpg.part("", ["find", "view"], find);
    Dpg.part("", ["colours", ...Dpg.CHOSEN], (chosen, state) => {
      const now = colours(data, state, usual);
      for (const board of shown()) {
        const place = board.querySelector("[data-legend]");
        if (place) legend(data, place, now, usual, data.groups[Number(board.dataset.group)]);
      }
    });
    window.addEventListener("resize", fitAll);
  };
})();
