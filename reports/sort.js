// Makes tables marked data-sortable sortable by their headings. Without it they read as they stand.
"use strict";
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

  function onHeading(table, heading) {
    const sorted = heading.getAttribute("aria-sort");
    const first = heading.dataset.sort === "down" ? "descending" : "ascending";
    const other = first === "descending" ? "ascending" : "descending";
    const order = sorted === first ? other : first;
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    sort(table, heading.cellIndex, order === "descending");
  }

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    for (const heading of table.tHead.querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => onHeading(table, heading));
      heading.append(button);
    }
  }
})();
