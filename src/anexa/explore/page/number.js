// One number: its value, what it is computed from, term by term, and what it is used for.

import { get } from "./api.js";
import { make } from "./dom.js";
import { count, exact, exactSingle, compact } from "./format.js";
import { makeCurve, makeSingularValues } from "./figures.js";
import { makeKeysHint, moveFocus, onKeys, say, sayFocused } from "./keys.js";
import { makePath } from "./path.js";
import { GRADIENT_SYMBOLS, MEANINGS, NAMES, SYMBOLS, makeTabs } from "./quantities.js";
import { go, isCompared, link, scene, versus } from "./state.js";
import { linkTo, makeEquation, makeTerms, shorten } from "./terms.js";

const MOST_USES = 12; // that are listed at first

/**
 * Show the number of the address.
 * @param {HTMLElement} root
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @param {AbortSignal} signal
 */
export async function show(root, state, info, signal) {
  const asked = {
    ...scene(state),
    tensor: state.tensor,
    index: state.index,
    quantity: state.quantity,
    ...versus(state),
  };
  const number = await get("number", asked, signal);
  root.append(
    makePath(whereAmI(number, state)),
    makeTitle(number),
    makeQuantities(number, state),
    ...makeSteps(number, state, info),
    ...makeSwitch(number),
    make(
      "div",
      { className: "number-columns" },
      make("div", {}, ...makeProvenance(number)),
      make("div", {}, ...makeFigures(number), ...makeCode(number), ...makeUses(number)),
    ),
    makeKeysHint("arrows move among the terms, Enter opens one, Backspace leads to the tensor, g to the gradient and back"),
  );
  sayFocused(root);
  onKeys((key) => onKey(key, root, number), signal);
  say(inWords(number));
}

/** What a screen reader says of the number. */
function inWords({ link: own, index_names: names, value, others }) {
  const gradient = "gradient" in others && own.quantity !== "gradient";
  return [
    [own.tensor, ...names].join(" "),
    `index ${own.index.join(", ") || "none"}`,
    `${NAMES[own.quantity]} ${exact(Number(value))}`,
    ...(gradient ? [`gradient ${exact(Number(others.gradient))}`] : []),
  ].join(", ");
}

/** The step, the tensor, and the index on each of its axes. */
function whereAmI({ link: own, index_names: names }, state) {
  const up = make("a", { href: upward(own), "data-focus": "up" }, own.tensor);
  return [...momentOf(state), up, ...names];
}

/** The step of the weights, and what the model reads if it is a training batch. */
function momentOf({ step, batch }) {
  if (step === undefined) return [];
  return batch ? [`step ${step}`, `the batch of step ${Number(step) + 1}`] : [`step ${step}`];
}

const upward = ({ index }) => link({ view: "tensor", index: index.join(","), lead: undefined });

function makeTitle(number) {
  const { link: own, dtype, note } = number;
  const value = Number(number.value);
  const isSingle = dtype === "float32" && Object.is(Math.fround(value), value);
  const precise = isSingle
    ? `single precision (float32); with all its digits ${exact(value)}`
    : "double precision (float64)";
  const name = own.index.length ? `${own.tensor}[${own.index.join(", ")}]` : own.tensor;
  return make(
    "div",
    { className: "title" },
    make("h2", { className: "number-name" }, own.quantity === "value" ? name : `${NAMES[own.quantity]} of ${name}`),
    make(
      "p",
      { className: "number-value" },
      make("span", { className: "visually-hidden" }, `${NAMES[own.quantity]} `),
      make("output", { title: exact(value) }, isSingle ? exactSingle(value) : exact(value)),
    ),
    make("p", { className: "hint" }, precise),
    ...[MEANINGS[own.quantity], note].filter(Boolean).map((text) => make("p", { className: "number-note" }, text)),
  );
}

/** The quantities of the element, each with its number if it is at hand. */
function makeQuantities({ link: own, quantities, others }, state) {
  const names = isCompared(state) ? [...quantities, "difference"] : quantities;
  return makeTabs(names, own.quantity, (name) => [
    NAMES[name],
    ...(name in others
      ? [make("span", { className: "tab-number" }, compact(Number(others[name]), 7))]
      : []),
  ]);
}

/** Links to the same number one training step before and after. */
function makeSteps({ link: own }, state, info) {
  if (!info.steps) return [];
  const { first, last } = info.steps;
  const to = (step, text) =>
    make("a", { href: link({ step: `${step}` }), "data-focus": text }, text);
  const step = Number(state.step);
  const links =
    state.step === undefined
      ? [to(last, `at step ${last}, the last one`)]
      : [
          ...(step > first ? [to(step - 1, "one step back")] : []),
          `step ${step}`,
          ...(step < last ? [to(step + 1, "one step on")] : []),
        ];
  if (/\.(weight|bias)$/.test(own.tensor)) {
    const life = link({ view: "time", index: own.index.join(","), quantity: undefined });
    links.push(make("a", { href: life, "data-focus": "life" }, "its life over all steps"));
  }
  const label = `The same number of ${own.tensor} at other steps`;
  return [make("nav", { className: "number-steps", "aria-label": label }, ...links)];
}

/** A link to the switches, where a weight can be set to another number. */
function makeSwitch({ link: own }) {
  if (!/\.(weight|bias)$/.test(own.tensor)) return [];
  const href = link({ view: "switches", index: own.index.join(","), quantity: undefined });
  const text = "Set it to another number, and see what changes";
  return [make("p", { className: "hint" }, make("a", { href, "data-focus": "set" }, text))];
}

/** The equation, in symbols and in numbers, and the list of its terms. */
function makeProvenance(number) {
  if (!number.equation) return [];
  const constants = Object.entries(number.constants).map(([symbol, x]) => {
    const [to, text] = [number.constant_links[symbol], exact(Number(x))];
    const shown = to ? make("a", { href: linkTo(to), title: to.label }, text) : text;
    return make("li", {}, `${symbol} = `, shown, make("span", { className: "hint" }, ` ${SYMBOLS[symbol]}`));
  });
  const isGradient = number.link.quantity === "gradient" && number.num_terms > 0;
  return [
    make("h3", {}, "Equation"),
    make("p", { className: "equation" }, number.equation),
    ...(constants.length
      ? [make("ul", { className: "equation constants", "aria-label": "Constants" }, ...constants)]
      : []),
    ...(isGradient ? [make("p", { className: "hint" }, GRADIENT_SYMBOLS)] : []),
    makeEquation(number),
    ...makeTerms(number),
    makeRebuilt(number),
  ];
}

function makeRebuilt({ value, rebuilt, num_terms: total, dtype }) {
  const [own, sum] = [Number(value), Number(rebuilt)];
  const words = total === 1 ? "the one term" : `all ${count(total)} terms`;
  const rounded = dtype === "float32" ? ", which rounds each step to single precision" : "";
  const difference = own === sum
    ? "exactly the number that the engine computed"
    : `the engine computed ${exact(own)}${rounded}`;
  const text = [make("output", {}, exact(sum)), `: ${difference}.`];
  return make("p", { className: "rebuilt" }, `Rebuilt from ${words}: `, ...text);
}

function makeFigures({ curve, singular_values: singular }) {
  return [
    ...(curve ? [makeCurve(curve)] : []),
    ...(singular.length ? [makeSingularValues(singular)] : []),
  ];
}

/** The lines of this project that compute the number. */
function makeCode({ code }) {
  if (!code) return [];
  const lines = code.text.trimEnd().split("\n");
  const rows = lines.flatMap((line, i) => [
    make("span", { className: "line-number" }, `${code.first_line + i}`.padStart(4)),
    `  ${line}\n`,
  ]);
  const where = `${code.file}, line ${code.first_line}`;
  return [
    make("h3", {}, "The code that computes it"),
    make("p", { className: "hint" }, where),
    make("pre", { className: "code", tabIndex: 0, "aria-label": where }, make("code", {}, ...rows)),
  ];
}

/** Links to the numbers that are computed from this one. */
function makeUses({ uses, num_uses: total }) {
  if (!total) return [];
  const items = uses.map((use) =>
    make("li", {}, make("a", { href: linkTo(use) }, use.label)),
  );
  const listed = uses.length < total ? `, of which ${count(uses.length)} are listed` : "";
  return [
    make("h3", {}, `Used in ${count(total)} number${total === 1 ? "" : "s"}${listed}`),
    ...shorten(make("ul", { className: "uses" }, ...items), MOST_USES),
  ];
}

/** Keys: arrows through the terms, Backspace up to the tensor, g for the gradient. */
function onKey(key, root, { link: own, quantities }) {
  if (key === "Backspace") {
    location.hash = upward(own);
    return true;
  }
  if (key === "g" && quantities.includes("gradient")) {
    go({ quantity: own.quantity === "gradient" ? undefined : "gradient" });
    return true;
  }
  return moveFocus([...root.querySelectorAll(".term:not([hidden])")], key);
}
