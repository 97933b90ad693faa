// Where am I: the way from the map down to what is shown.

import { make } from "./dom.js";
import { link } from "./state.js";

/**
 * Make the breadcrumb line of a view. It begins with a link to the map, which is the next one up if
 * no part has data-focus="up".
 * @param {(Node | string)[]} parts - links, or texts; a text at the end is the view that is shown
 * @returns {HTMLElement}
 */
export function makePath(parts) {
  const isUp = !parts.some((part) => part instanceof Element && part.matches("[data-focus=up]"));
  const href = link({ view: "map", tensor: undefined, index: undefined, lead: undefined });
  const map = make("a", { href, "data-focus": isUp ? "up" : "map" }, "Map");
  const items = [map, ...parts].map((part, i) => {
    const isHere = i === parts.length && typeof part === "string";
    return make("li", isHere ? { "aria-current": "location" } : {}, part);
  });
  return make("nav", { className: "path", "aria-label": "Where am I" }, make("ol", {}, ...items));
}
