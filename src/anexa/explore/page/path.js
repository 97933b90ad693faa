// Where am I: the way from the map down to what is shown.

import { make } from "./dom.js";

/**
 * Make the breadcrumb line of a view.
 * @param {(Node | string)[]} parts links, or texts; the one that is shown has aria-current
 * @returns {HTMLElement}
 */
export function makePath(parts) {
  const items = parts.map((part) => make("li", {}, part));
  return make("nav", { className: "path", "aria-label": "Where am I" }, make("ol", {}, ...items));
}
