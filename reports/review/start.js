// Joins list, item and history: what a click or a key does, and what is said about it.
"use strict";
(function () {
  const { el, state } = Dpg;
  const data = JSON.parse(document.getElementById("data").textContent);
  const items = state.prepared(data);
  const byId = new Map(items.map((item) => [item.id, item]));
  const storage = { // reading `localStorage` itself can be refused
    getItem: (key) => localStorage.getItem(key),
    setItem: (key, value) => localStorage.setItem(key, value),
    removeItem: (key) => localStorage.removeItem(key),
  };
  const history = Dpg.history(`dpgbench review ${data.sha256}`, storage, items);
  const views = new Map();
  const find = (name) => document.querySelector(`[data-${name}]`);
  let current = null, editing = null;

  function viewOf(id) {
    if (!views.has(id)) views.set(id, state.view(byId.get(id), history.of(id)));
    return views.get(id);
  }

  const brief = (id) => history.of(id).length ? viewOf(id) : state.untouched(byId.get(id));

  function tell(text) {
    find("status").textContent = text;
  }

  function totals() {
    const all = items.map((item) => brief(item.id));
    const done = all.filter((item) => item.done).length, changed = all.filter((item) => item.changed).length;
    const flags = all.reduce((sum, item) => sum + item.open, 0);
    find("totals").textContent = `${done.toLocaleString("en")} of ${Dpg.counted(items.length, "item")} reviewed · `
      + `${Dpg.counted(flags, "flag")} open · ${changed.toLocaleString("en")} changed`;
    find("kept").textContent = !history.isKept ? "This browser keeps nothing: download before you close the page."
      : history.isSaved ? "" : "Kept in this browser, not downloaded yet.";
    find("undo").disabled = !history.canUndo;
    find("redo").disabled = !history.canRedo;
  }

  function changed(id, text) {
    views.delete(id);
    list.update(id);
    if (id === current) draw();
    totals();
    tell(text);
  }

  function step(what, text) {
    history.add({ id: current, ...what });
    views.delete(current);
    changed(current, typeof text === "function" ? text(viewOf(current)) : text);
  }

  const named = (item, rows) => `question${rows.length > 1 ? "s" : ""} ${state.listed(rows.map((n) => item.rows[n].qid))}`;
  const listPlace = find("list");
  const list = Dpg.itemList(listPlace, items, brief, open);

  function strike(rows) {
    step({ do: "strike", rows }, (item) => [`Struck ${named(item, rows)}.`,
      ...rows.map((n) => state.fate(item, item.rows[n])), item.gone ? "No question is left: this item will not be in the file." : ""]
      .filter(Boolean).join(" "));
  }

  function edit(n, back) {
    editing = n;
    draw();
    const target = n === null ? `[name="Edit ${back}"]` : `[data-n="${n}"] input`;
    const control = find("item").querySelector(target);
    if (control) control.focus();
  }

  const acts = {
    strike,
    restore: (rows) => step({ do: "restore", rows }, (item) => `Restored ${named(item, rows)}.`),
    accept: (row, flag) => step({ do: "accept", row, flag }, `Flag removed: ${flag}.`),
    done: () => step({ do: "done", value: !viewOf(current).done }, (item) => item.done ? "Marked as reviewed." : "Not reviewed."),
    edit: (n) => edit(n),
    cancel: (n) => edit(null, n),
    save(row, cells) {
      editing = null;
      if (Object.keys(cells).length) step({ do: "edit", row: row.n, cells }, `Saved question ${row.qid}.`);
      edit(null, row.n);
    },
    next: () => go(1),
    previous: () => go(-1),
  };

  function draw() {
    Dpg.item(find("item"), viewOf(current), { ...acts, editing });
  }

  function open(id, focus = true) {
    current = id;
    editing = null;
    globalThis.history.replaceState(null, "", `#item=${encodeURIComponent(id)}`);
    list.choose(id);
    draw();
    if (focus) find("title").focus();
  }

  // The next item of those that the list shows.
  function go(by) {
    const shown = list.matches();
    const at = shown.findIndex((item) => item.id === current);
    const place = byId.get(current).index;
    const next = at >= 0 ? shown[at + by]
      : by > 0 ? shown.find((item) => item.index > place) : shown.filter((item) => item.index < place).pop();
    if (next) open(next.id);
    else tell(by > 0 ? "This is the last item." : "This is the first item.");
  }

  function take(again) {
    const what = again ? history.redo() : history.undo();
    if (!what) return;
    views.delete(what.id);
    editing = null;
    if (what.id !== current) open(what.id, false);
    changed(what.id, `${again ? "Done again" : "Undone"}: ${Dpg.stepName(what, viewOf(what.id))}.`);
  }

  function download() {
    const all = items.map((item) => viewOf(item.id));
    const rows = state.table(data, all);
    if (rows.length < 2) { tell("Every question is struck: there is nothing to download."); return; }
    const address = URL.createObjectURL(new Blob([state.csv(rows)], { type: "text/csv" }));
    const link = el("a", { href: address, download: data.download });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    history.downloaded();
    const gone = all.filter((item) => item.gone).length;
    totals();
    tell(`${data.download} has ${Dpg.counted(rows.length - 1, "question")} of ${Dpg.counted(items.length - gone, "item")}`
      + `${gone ? `; ${Dpg.counted(gone, "item")} without questions left out` : ""}.`);
  }

  const clear = find("clear");
  clear.addEventListener("click", () => {
    if (clear.dataset.sure) {
      history.clear();
      views.clear();
      list.redraw();
      open(current, false);
      totals();
      tell("All steps are forgotten; the file is as it was.");
    } else tell("Press it again to forget all steps.");
    clear.dataset.sure = clear.dataset.sure ? "" : "1";
  });
  clear.addEventListener("blur", () => { clear.dataset.sure = ""; });

  // Single keys, unless something is being typed or the reader has switched them off.
  const keys = find("keys");
  const row = () => {
    const place = document.activeElement && document.activeElement.closest("[data-n]");
    return place ? viewOf(current).rows[Number(place.dataset.n)] : null;
  };
  const KEYS = {
    n: () => go(1), p: () => go(-1), u: () => take(false), r: () => acts.done(),
    x: () => { const at = row(); if (at) (at.struck ? acts.restore : strike)([at.n]); },
    e: () => { const at = row(); if (at && !at.struck) edit(at.n); },
    j: () => along(1), k: () => along(-1),
  };

  function along(by) {
    const all = [...find("item").querySelectorAll(".ask")];
    const at = all.findIndex((place) => place.contains(document.activeElement));
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
    const control = next && next.querySelector("button, input");
    if (control) control.focus();
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys.checked) return;
    if (event.target.closest && event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    const what = KEYS[event.key];
    if (what) { event.preventDefault(); what(); }
  });

  find("undo").addEventListener("click", () => take(false));
  find("redo").addEventListener("click", () => take(true));
  find("download").addEventListener("click", download);
  function fromAddress() {
    try {
      return byId.get(decodeURIComponent((/[#&]item=([^&]*)/.exec(location.hash) || [])[1] || ""));
    } catch {
      return undefined; // not an address of this page
    }
  }
  addEventListener("hashchange", () => { const item = fromAddress(); if (item && item.id !== current) open(item.id); });
  const first = fromAddress() || items.find((item) => brief(item.id).open && !brief(item.id).done) || items[0];
  open(first.id, false);
  totals();
})();
