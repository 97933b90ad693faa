// What an empty page shows: what the model can do, examples to click, its size, and where it runs.

import { button, element } from "./dom.js";

const TITLES = {
  arithmetic: "Ask for a calculation",
  chat: "Ask something",
  text: "Begin a text",
};

/**
 * Fill the invitation of a model.
 * @param {HTMLElement} section
 * @param {import("./api.js").Model} model
 * @param {(text: string) => void} start called with the example that was clicked
 */
export function fillWelcome(section, model, start) {
  const list = element("ul", { className: "examples" });
  list.setAttribute("aria-label", "Examples");
  for (const example of model.examples) {
    list.append(element("li", {}, button(example, example, () => start(example))));
  }
  section.replaceChildren(
    element("h2", { text: TITLES[model.task] }),
    element("p", { text: model.description }),
    list,
    element("p", { className: "size", text: size(model) }),
  );
}

/** Size of a model, and where it runs. */
function size({ id, architecture, num_parameters, max_model_len, engine }) {
  const numbers = `${count(num_parameters)} parameters and a context of ${count(max_model_len)} tokens`;
  return `${id}, a ${architecture} model with ${numbers}, runs ${place()} with the ${engine} engine.`;
}

/**
 * A number in words that can be read at a glance: 4,192; 804,608; 1.1 million.
 * @param {number} number
 * @returns {string}
 */
export function count(number) {
  const [size, word] = number < 1e6 ? [1, ""] : number < 1e9 ? [1e6, " million"] : [1e9, " billion"];
  return `${(number / size).toLocaleString("en", { maximumFractionDigits: 1 })}${word}`;
}

/** Where the model runs, as seen from the browser. */
function place() {
  const { hostname } = location;
  const isLocal = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
  return isLocal ? "on this computer" : `on ${hostname}`;
}
