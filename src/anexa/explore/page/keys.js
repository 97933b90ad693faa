// What views share for the keyboard and for screen readers.

import { make } from "./dom.js";

/**
 * Make the line that says what the keys of a view do.
 * @param {string} text
 * @returns {HTMLElement}
 */
export const makeKeysHint = (text) => make("p", { className: "hint keys" }, `Keys: ${text}.`);

/**
 * Say something to screen readers.
 * @param {string} text
 */
export function say(text) {
  const live = document.getElementById("live");
  if (live) live.textContent = text;
}

/**
 * Say what the focused element is, as its attribute data-live has it.
 * @param {HTMLElement} root
 */
export function sayFocused(root) {
  root.addEventListener("focusin", ({ target }) => {
    const words = /** @type {HTMLElement} */ (target).closest("[data-live]")?.getAttribute("data-live");
    if (words) say(words);
  });
}

/**
 * Call a function for each key that is not meant for a field, with its name; if it returns true, the
 * browser does nothing with the key.
 * @param {(key: string) => boolean} onKey
 * @param {AbortSignal} signal ends it
 */
export function onKeys(onKey, signal) {
  const listen = (/** @type {KeyboardEvent} */ event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.closest?.("input, select, textarea, pre")) return;
    if (onKey(event.key)) event.preventDefault();
  };
  document.addEventListener("keydown", listen, { signal });
}

/**
 * Move the focus among the links of some rows: up and down to the next row, left and right within it.
 * @param {HTMLElement[]} rows those that are visible
 * @param {string} key name of the key
 * @returns {boolean} whether it is an arrow key
 */
export function moveFocus(rows, key) {
  if (!/^Arrow(Up|Down|Left|Right)$/.test(key)) return false;
  const focused = /** @type {HTMLElement} */ (document.activeElement);
  const at = rows.findIndex((row) => row.contains(focused));
  const links = [...(rows[at]?.querySelectorAll("a") ?? [])];
  const column = links.indexOf(/** @type {any} */ (focused));
  if (key === "ArrowLeft" || key === "ArrowRight") {
    links[column + (key === "ArrowRight" ? 1 : -1)]?.focus();
    return true;
  }
  const next = [...(rows[at < 0 ? 0 : at + (key === "ArrowDown" ? 1 : -1)]?.querySelectorAll("a") ?? [])];
  next[Math.max(0, Math.min(column, next.length - 1))]?.focus();
  return true;
}

/**
 * Say what is focused, and let Backspace lead to the link with data-focus="up".
 * @param {HTMLElement} root - the view
 * @param {AbortSignal} signal - ends it
 */
export function listen(root, signal) {
  sayFocused(root);
  onKeys((key) => {
    const up = root.querySelector("[data-focus=up]");
    if (key !== "Backspace" || !(up instanceof HTMLElement)) return false;
    up.click();
    return true;
  }, signal);
}
