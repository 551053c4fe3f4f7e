// A table of numbers as a heat map: arrow keys move, the cell in focus or under the pointer is described.

import { el, label } from "/assets/dom.js";

/**
 * Make a heat map.
 *
 * `cell(row, column)` returns {text, value, name} or null; `value` from 0 to 1 is the colour, `name` is for screen
 * readers, if the text does not say enough. `pick(row, column)` is
 * called for the cell in focus, under the pointer or tapped, and at first for `start`.
 */
export function heatMap({ caption, corner = "", rows, columns, cell, pick, start, wide = false }) {
  const cells = rows.map((_, row) => columns.map((_, column) => {
    const found = cell(row, column);
    if (found === null) return el("td", { class: "none" });
    return el("td", { tabindex: "-1", "aria-label": found.name, "--w": found.value.toFixed(4),
      "data-value": found.value }, found.text);
  }));
  const heads = columns.map((text) => el("th", { scope: "col" }, el("span", {}, label(text))));
  const table = el("table", { class: wide ? "heat wide" : "heat", role: "grid", "aria-label": caption },
    el("thead", {}, el("tr", {}, el("td", {}, corner), ...heads)),
    el("tbody", {}, ...rows.map((text, row) =>
      el("tr", {}, el("th", { scope: "row" }, label(text)), ...cells[row]))));
  let current = null;
  const choose = (row, column, focus) => {
    const td = cells[row]?.[column];
    if (!td || td.classList.contains("none")) return false;
    if (current) {
      current.tabIndex = -1;
      current.classList.remove("current");
    }
    current = td;
    td.tabIndex = 0;
    td.classList.add("current");
    if (focus) td.focus();
    pick(row, column);
    return true;
  };
  const place = (target) => {
    const td = target.closest("tbody td");
    const row = td ? td.parentNode.rowIndex - 1 : -1;
    return [row, td ? td.cellIndex - 1 : -1];
  };
  table.addEventListener("pointerover", (event) => choose(...place(event.target), false));
  table.addEventListener("click", (event) => choose(...place(event.target), true));
  table.addEventListener("focusin", (event) => {
    if (event.target !== current) choose(...place(event.target), false);
  });
  table.addEventListener("keydown", (event) => {
    const [row, column] = place(event.target);
    const moves = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1], Home: [row, 0], End: [row, columns.length - 1] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    let [r, c] = moves[event.key];
    while (event.key === "End" && c > 0 && cells[r][c].classList.contains("none")) c -= 1;
    choose(r, c, true);
  });
  choose(...start, false);
  return { element: el("div", { class: "scroll" }, table), choose };
}
