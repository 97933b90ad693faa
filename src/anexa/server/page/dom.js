// Elements of the page. Text is always set as text, never parsed as HTML.

/** @type {(id: string) => HTMLElement} */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element.
 * @param {string} tag
 * @param {{text?: string} & Record<string, unknown>} properties properties of the element
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(tag, { text, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
}

/**
 * Make a button.
 * @param {string} text
 * @param {string} label its accessible name
 * @param {() => void} action
 * @returns {HTMLButtonElement}
 */
export function button(text, label, action) {
  const node = element("button", { type: "button", text });
  if (label !== text) node.setAttribute("aria-label", label);
  node.addEventListener("click", action);
  return node;
}

const END = 24; // pixels within which a scroller counts as scrolled to its end

/**
 * Change the content of a scroller; if its end was in view, the end stays in view.
 * @param {HTMLElement} scroller
 * @param {() => void} change
 */
export function following(scroller, change) {
  const { scrollHeight, scrollTop, clientHeight } = scroller;
  const atEnd = scrollHeight - scrollTop - clientHeight < END;
  change();
  if (atEnd) scrollToEnd(scroller);
}

/** @param {HTMLElement} scroller */
export function scrollToEnd(scroller) {
  scroller.scrollTop = scroller.scrollHeight;
}
