// The quantities of a number: what they are called, what they mean, and the links between them.

import { make } from "./dom.js";
import { link } from "./state.js";

/** Names of the quantities. */
export const NAMES = {
  value: "value",
  gradient: "gradient",
  change: "last change",
  m: "mean m",
  v: "mean square v",
  clipped: "clipped gradient",
  update: "update",
  difference: "difference",
};

/** What the quantities mean, in sentences; a value is what its equation says. */
export const MEANINGS = {
  value: "",
  gradient:
    "The gradient: when this number grows by a little, the loss grows by the gradient times as much.",
  change: "What the last training step added to this weight.",
  m: "The mean of this weight’s gradients, in which the last steps count most.",
  v: "The mean of this weight’s squared gradients, in which the last steps count most.",
  clipped: "The gradient of the step, scaled down if all gradients together were too long.",
  update: "What the step subtracts from the weight, before it is multiplied by the learning rate.",
  difference: "The value here minus the value in what it is compared with.",
};

/** What the symbols of a gradient's equation mean. */
export const GRADIENT_SYMBOLS =
  "g is the gradient of what the operation returns; a d stands for a gradient too: dx for that of x.";

/** What the symbols of the equations mean, those that are given as constants. */
export const SYMBOLS = {
  r: "learning rate",
  λ: "weight decay",
  "|g|": "norm of all gradients together",
  max_grad_norm: "limit of that norm",
  "β₁": "decay rate of the mean",
  "β₂": "decay rate of the mean square",
  μ: "momentum",
  "v'": "mean square after the step",
  t: "step",
  ε: "keeps the divisor above 0",
  σ: "standard deviation of the row",
  ρ: "root mean square of the row",
  γ: "gain of the column",
  "direct part": "through this number alone",
  "part through μ": "through the mean of the row",
  "part through σ": "through the standard deviation of the row",
  "part through ρ": "through the root mean square of the row",
  α: "angle of the position in radians, without whole turns",
  a: "input of the activation function",
  b: "number that it is multiplied by",
  p: "probability of the token",
  target: "id of the next token of the text",
  N: "number of tokens with a loss",
  "P[i]": "attention to the token",
};

/**
 * Make links to the quantities of what is shown.
 * @param {string[]} names - of the quantities
 * @param {string} shown - name of the one that is shown
 * @param {(name: string) => (Node | string)[]} [content] - content of a link
 * @returns {HTMLElement}
 */
export function makeTabs(names, shown, content = (name) => [NAMES[name]]) {
  const tabs = names.map((name) =>
    make(
      "a",
      {
        href: link({ quantity: name === "value" ? undefined : name }),
        "data-focus": `quantity ${name}`,
        ...(name === shown && { "aria-current": "true" }),
      },
      ...content(name),
    ),
  );
  return make("nav", { className: "tabs", "aria-label": "Quantity" }, ...tabs);
}
