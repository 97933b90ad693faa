// The visible numbers of a grid as a table, for screen readers and to copy.

import { visible } from "./cells.js";
import { make } from "./dom.js";
import { exact } from "./format.js";

const MOST = 64; // rows and columns

/**
 * Make the table of what is visible, from its upper left corner.
 * @param {string} name of the matrix
 * @param {import("./cells.js").View} view
 * @returns {Promise<HTMLTableElement>}
 */
export async function makeTable(name, view) {
  const { top, left, bottom, right } = visible(view);
  const rows = range(top, Math.min(bottom, top + MOST));
  const columns = range(left, Math.min(right, left + MOST));
  const number = (i, j) => view.tiles.wait(view.level, i, j, view.mode);
  const numbers = await Promise.all(rows.map((i) => Promise.all(columns.map((j) => number(i, j)))));
  const label = (i, own) => (view.level ? `${i * 2 ** view.level}` : own(i));
  const head = columns.map((j) => make("th", { scope: "col" }, label(j, view.columnLabel)));
  const body = rows.map((i, at) => {
    const first = make("th", { scope: "row" }, label(i, view.rowLabel));
    return make("tr", {}, first, ...numbers[at].map((x) => make("td", {}, exact(x))));
  });
  return make(
    "table",
    {},
    make("caption", {}, `${name}: ${rows.length} rows, ${columns.length} columns`),
    make("thead", {}, make("tr", {}, make("td"), ...head)),
    make("tbody", {}, ...body),
  );
}

const range = (first, end) => Array.from({ length: end - first }, (_, i) => first + i);
