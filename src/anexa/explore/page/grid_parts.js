// The elements of a grid: its key, its buttons, the cells, and what is said of them.

import { make } from "./dom.js";

const KEYS =
  "Arrows move, plus and minus zoom, Enter explains the number, Backspace goes up, g shows the gradient.";

/**
 * What the buttons of a grid do.
 * @typedef {object} GridActions
 * @property {(by: number) => void} zoom by steps
 * @property {() => void} toggleMode
 * @property {() => void} toggleTable
 */

/**
 * The elements of a grid.
 * @typedef {object} GridParts
 * @property {HTMLElement} element which has all others
 * @property {HTMLElement} view with the cells, scrolled
 * @property {HTMLCanvasElement} canvas with the visible cells
 * @property {HTMLElement} spacer as large as all cells
 * @property {HTMLElement} hover the number under the pointer
 * @property {HTMLCanvasElement} key of the colors
 * @property {HTMLElement} zoomText
 * @property {HTMLButtonElement} modeButton
 * @property {HTMLElement} status the number under the cursor, in words
 * @property {HTMLElement} table the visible numbers
 * @property {HTMLButtonElement} tableButton
 */

/**
 * Make the elements of a grid.
 * @param {string} name of the matrix, for screen readers
 * @param {GridActions} actions
 * @returns {GridParts}
 */
export function makeParts(name, { zoom, toggleMode, toggleTable }) {
  const canvas = make("canvas", { className: "grid-canvas" });
  const spacer = make("div", { className: "grid-spacer" });
  const view = make(
    "div",
    {
      className: "grid-view",
      tabIndex: 0,
      role: "application",
      "data-focus": "grid",
      "aria-roledescription": "grid of numbers",
      "aria-label": `${name}. ${KEYS}`,
    },
    canvas,
    spacer,
  );
  const hover = make("div", { className: "grid-hover", hidden: true });
  const key = make("canvas", { className: "grid-key" });
  const zoomText = make("span", { className: "grid-zoom" });
  const modeButton = makeButton("", "", toggleMode);
  const tableButton = makeButton("As a table", "Show the visible numbers as a table", toggleTable);
  tableButton.setAttribute("aria-expanded", "false");
  const status = make("p", { className: "grid-status", role: "status", "aria-live": "polite" });
  const table = make("div", { className: "grid-table", hidden: true, tabIndex: 0 });
  const tools = make(
    "span",
    { className: "grid-tools" },
    makeButton("−", "Zoom out", () => zoom(-1)),
    zoomText,
    makeButton("+", "Zoom in", () => zoom(1)),
    modeButton,
    tableButton,
  );
  const bar = make("div", { className: "grid-bar" }, key, tools);
  const element = make("div", { className: "grid" }, bar, view, hover, status, table);
  return { element, canvas, spacer, view, hover, key, zoomText, modeButton, tableButton, status, table };
}

const makeButton = (text, label, act) =>
  make("button", {
    type: "button",
    textContent: text,
    "aria-label": label,
    title: label,
    onclick: act,
  });
