// Switches: turn off a head, a neuron or the embedding of a position, or set one number; before
// and after.

import { get } from "./api.js";
import { make } from "./dom.js";
import { exact, exactSingle } from "./format.js";
import { listen } from "./keys.js";
import { makePath } from "./path.js";
import { makeLosses, makeTokens } from "./readings.js";
import { makeRetraining } from "./retrain.js";
import { go, link, scene } from "./state.js";
import { makeWriting } from "./writing.js";

/**
 * Show the switches and what they change.
 * @param {HTMLElement} root
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @param {AbortSignal} signal
 */
export async function show(root, state, info, signal) {
  const edits = state.edit ?? [];
  const unedited = { ...scene(state), edit: undefined };
  const [map, before, after] = await Promise.all([
    get("map", unedited, signal),
    get("text", unedited, signal),
    edits.length ? get("text", scene(state), signal) : null,
  ]);
  const number = await readNumber(map, state, signal);
  const first = { name: "before", reading: before, patch: { edit: undefined } };
  const second = after && { name: "after", reading: after, patch: {} };
  root.append(
    makePath(["Switches"]),
    make("h2", {}, "Switches"),
    make(
      "p",
      { className: "lead" },
      "Turn a part of the model off, or set one number, and see what changes. A switch edits the weights: a part that is off counts as zero.",
    ),
    makeSwitches(edits, state, info, map, number),
    ...(second ? makeOutcome(first, second, state, info) : makeNothing(first)),
  );
  listen(root, signal);
}

/** The number that the address names, as it is without switches; null if it names no weight. */
async function readNumber(map, state, signal) {
  const names = weightNames(map);
  if (!names.includes(state.tensor) || !state.index) return null;
  const asked = { ...scene(state), edit: undefined, tensor: state.tensor, index: state.index };
  return get("number", asked, signal).catch(() => null); // of another tensor or step
}

/** A weight in the fewest digits; those of single precision if it is stored so. */
const weightText = (x) => (Math.fround(x) === x ? exactSingle(x) : exact(x));

const weightNames = ({ tensors }) =>
  tensors.filter(({ kind, name }) => kind === "weight" && !name.endsWith(".T")).map(({ name }) => name);

// The switches

function makeSwitches(edits, state, info, map, number) {
  const error = make("p", { className: "error", role: "alert" });
  /** Set a switch, if the model has what it names. */
  const set = async (edit, without = edits) => {
    const next = [...without, edit];
    error.textContent = "";
    try {
      await get("text", { ...scene(state), edit: next });
      go({ edit: next });
    } catch (problem) {
      error.textContent = /** @type {Error} */ (problem).message;
    }
  };
  const remove = (edit) => {
    const next = edits.filter((one) => one !== edit);
    go({ edit: next.length ? next : undefined });
  };
  const toggle = (edit) => (edits.includes(edit) ? remove(edit) : set(edit));
  const off = make(
    "button",
    { type: "button", disabled: !edits.length, onclick: () => go({ edit: undefined }), "data-focus": "none" },
    "Take all back",
  );
  return make(
    "section",
    { className: "switches", "aria-label": "Switches" },
    makeHeads(edits, info, toggle),
    makeForm("Turn off a neuron", [["layer", 0], ["neuron", 0]], ([layer, neuron]) => toggle(`neuron:${layer}.${neuron}`)),
    makeForm("Turn off the embedding of a position", [["position", 0]], ([position]) => toggle(`position:${position}`)),
    makeSet(map, state, number, (name, edit) => set(edit, edits.filter((one) => !one.startsWith(name)))),
    make("div", {}, off),
    error,
  );
}

/** A button for each head; a pressed one is off. */
function makeHeads(edits, { config }, toggle) {
  const button = (layer, head) => {
    const edit = `head:${layer}.${head}`;
    const isOff = edits.includes(edit);
    const words = `head ${head} of layer ${layer}`;
    return make(
      "button",
      {
        type: "button",
        "aria-pressed": isOff,
        "aria-label": `turn off ${words}`,
        "data-focus": edit,
        "data-live": `${words} is ${isOff ? "off" : "on"}`,
        onclick: () => toggle(edit),
      },
      `${layer}.${head}`,
    );
  };
  const range = (n) => Array.from({ length: n }, (_, i) => i);
  const rows = range(config.n_layer).map((layer) =>
    make("div", { className: "heads" }, ...range(config.n_head).map((head) => button(layer, head))),
  );
  return make(
    "fieldset",
    {},
    make("legend", {}, "Turn off a head of attention (layer.head)"),
    ...rows,
  );
}

/** A form with whole numbers. */
function makeForm(title, fields, act) {
  const inputs = fields.map(([name, value]) =>
    make("input", {
      type: "number",
      min: "0",
      step: "1",
      required: true,
      value: `${value}`,
      "aria-label": name,
      "data-focus": `${title} ${name}`,
    }),
  );
  const labels = inputs.map((input, i) => make("label", {}, `${fields[i][0]} `, input));
  const form = make("form", {}, ...labels, make("button", { type: "submit", className: "plain" }, "Turn off"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(inputs.map(({ value }) => Number(value)));
  });
  return make("fieldset", {}, make("legend", {}, title), form);
}

/** The form that sets one number of a weight. */
function makeSet(map, state, number, act) {
  const names = weightNames(map);
  const options = names.map((name) => make("option", { value: name }, name));
  const select = make("select", { "aria-label": "weight", "data-focus": "set tensor" }, ...options);
  if (names.includes(state.tensor)) select.value = state.tensor;
  const index = make("input", {
    type: "text",
    required: true,
    size: 7,
    pattern: "\\s*\\d+(\\s*,\\s*\\d+)*\\s*",
    title: "such as 0,3",
    value: names.includes(state.tensor) ? (state.index ?? "") : "",
    placeholder: "0,3",
    "aria-label": "index",
    "data-focus": "set index",
  });
  const value = make("input", {
    type: "text",
    required: true,
    size: 10,
    inputMode: "decimal",
    value: number ? weightText(Number(number.value)) : "",
    "aria-label": "number",
    "data-focus": "set number",
  });
  const form = make(
    "form",
    {},
    select,
    make("label", {}, "[", index, "] = "),
    value,
    make("button", { type: "submit", className: "plain" }, "Set"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = `set:${select.value}[${index.value.replace(/\s/g, "")}]=`;
    act(name, `${name}${value.value.trim().replace("−", "-")}`);
  });
  const target = { view: "number", tensor: state.tensor, index: state.index, quantity: undefined, edit: undefined };
  const now = () =>
    make("a", { href: link(target), "data-focus": "set now" }, weightText(Number(number.value)));
  return make(
    "fieldset",
    {},
    make("legend", {}, "Set one number of a weight"),
    form,
    make("p", { className: "hint" }, ...(number ? ["Without switches it is ", now(), "."] : [])),
  );
}

// What they change

function makeNothing(first) {
  const loss = make(
    "a",
    { href: link({ view: "number", tensor: "loss", index: "", lead: undefined, quantity: undefined }), "data-focus": "loss before" },
    exact(Number(first.reading.loss)),
  );
  return [make("p", {}, "No switch is set. The loss of the text is ", loss, ".")];
}

function makeOutcome(first, second, state, info) {
  const none = { tensor: undefined, index: undefined, lead: undefined };
  const href = link({ view: "map", quantity: "difference", versus_unedited: "1", ...none });
  const section = (title, ...children) => make("section", {}, make("h3", {}, title), ...children);
  return [
    section(
      "Before and after",
      makeLosses(first, second),
      make("p", {}, make("a", { href, "data-focus": "difference" }, "Map of the difference that the switches make")),
      makeTokens(first, second),
    ),
    section("Writing", makeWriting(first, second, state)),
    section("In training from here on", makeRetraining(state, info)),
  ];
}
