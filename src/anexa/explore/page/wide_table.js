// A table that is wider or longer than the page: it scrolls by itself.

import { make } from "./dom.js";

/**
 * Make a table in a box that scrolls, also by keys.
 * @param {string} caption - what the table shows, for screen readers
 * @param {(Node | string)[]} heads - texts of the columns, or th elements
 * @param {HTMLElement[]} rows
 * @param {string} [className] - of the table
 * @returns {HTMLElement}
 */
export function makeWideTable(caption, heads, rows, className = "") {
  const cells = heads.map((head) =>
    head instanceof Element ? head : make("th", { scope: "col" }, head),
  );
  return make(
    "div",
    { className: "wide-table", tabIndex: 0, role: "region", "aria-label": caption },
    make(
      "table",
      { className },
      make("caption", { className: "visually-hidden" }, caption),
      make("thead", {}, make("tr", {}, ...cells)),
      make("tbody", {}, ...rows),
    ),
  );
}
