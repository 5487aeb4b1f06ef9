// Makes tables marked data-sortable sortable by their headings; the order stands in the address as
// by=TABLE.COLUMN.up. Without scripts they read as they stand.
"use strict";
var Dpg = globalThis.Dpg || {};
(function () {
  function value(row, column) {
    const cell = row.cells[column];
    return cell ? cell.dataset.value ?? cell.textContent.trim() : "";
  }

  function compare(a, b) {
    const left = Number(a), right = Number(b);
    if (!Number.isNaN(left) && !Number.isNaN(right)) return left - right;
    return a.localeCompare(b, "en", { numeric: true, sensitivity: "base" });
  }

  // Cells without a value come last, whichever way the column is sorted.
  function sort(table, column, downwards) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => ({ row, key: value(row, column) }));
    rows.sort((a, b) => {
      if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "");
      return downwards ? compare(b.key, a.key) : compare(a.key, b.key);
    });
    body.append(...rows.map((entry) => entry.row));
  }

  const heads = (table) => Array.from(table.tHead.rows[0].cells);
  const orders = (text) => new Map((text || "").split("~").map((entry) => entry.split(".")).filter(([name]) => name)
    .map(([name, column, way]) => [name, { column: Number(column), down: way === "down" }]));
  const written = (map) => [...map].map(([name, { column, down }]) => `${name}.${column}.${down ? "down" : "up"}`).join("~");

  function apply(table, order) {
    for (const head of heads(table)) head.removeAttribute("aria-sort");
    const head = order && heads(table)[order.column];
    if (head && head.dataset.sort) {
      head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      sort(table, order.column, order.down);
      table.dataset.sorted = "";
    } else if ("sorted" in table.dataset) {
      table.tBodies[0].append(...table.first);
      delete table.dataset.sorted;
    }
  }

  function onHeading(table, heading) {
    const sorted = heading.getAttribute("aria-sort");
    const first = heading.dataset.sort === "down" ? "descending" : "ascending";
    const other = first === "descending" ? "ascending" : "descending";
    const order = sorted === first ? other : first;
    const all = orders(Dpg.address.get().by);
    all.set(table.dataset.sortable, { column: heading.cellIndex, down: order === "descending" });
    Dpg.address.set({ by: written(all) }, true);
  }

  Dpg.sortable = function (table) {
    table.first = Array.from(table.tBodies[0].rows);
    for (const heading of table.tHead.querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => onHeading(table, heading));
      heading.append(button);
    }
  };

  Dpg.sorting = function () {
    const tables = Array.from(document.querySelectorAll("table[data-sortable]"));
    tables.forEach(Dpg.sortable);
    Dpg.part("", ["by"], (chosen, state) => {
      const all = orders(state.by);
      for (const table of tables) apply(table, all.get(table.dataset.sortable));
    });
  };
})();
