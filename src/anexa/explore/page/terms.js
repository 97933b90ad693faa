// The terms of a number: written out in its equation, and as a list with a bar for each.

import { make } from "./dom.js";
import { count, exact, rounded } from "./format.js";
import { link } from "./state.js";

const MOST_WRITTEN = 4; // terms in the equation
const MOST_LISTED = 20; // terms in the list at first
const WRITTEN = 4; // significant digits in the equation
const LISTED = 7; // significant digits in the list

/**
 * The address of a number that the server links to.
 * @param {any} to link, as /api/number describes it
 * @returns {string}
 */
export function linkTo(to) {
  return link({
    view: "number",
    tensor: to.tensor,
    index: to.index.join(","),
    quantity: to.quantity === "value" ? undefined : to.quantity,
    lead: undefined,
    ...(to.folder !== null && { folder: to.folder }),
    ...(to.step !== null && { step: to.step < 0 ? undefined : `${to.step}` }),
    ...(to.batch && { text: undefined, chat: undefined, batch: "1" }),
    ...(to.unedited && { edit: undefined }),
  });
}

/**
 * Write the equation of a number with its largest terms in numbers.
 * @param {any} number as /api/number describes it
 * @returns {HTMLElement}
 */
export function makeEquation(number) {
  const written = number.terms.slice(0, MOST_WRITTEN);
  const summands = [
    ...(number.offset ? [[rounded(Number(number.offset), WRITTEN)]] : []),
    ...written.map((term) => product(term, number)),
  ];
  const left = number.num_terms - written.length;
  if (left) {
    const amounts = number.terms.slice(MOST_WRITTEN).map((term) => Number(term.contribution));
    const rest = amounts.reduce((sum, x) => sum + x, Number(number.rest));
    summands.push([`… (${count(left)} smaller, together ${rounded(rest, WRITTEN)})`]);
  }
  const sum = summands.flatMap((parts, i) => (i ? [" + ", ...parts] : parts));
  const outer = number.outer ? [outerName(number.outer), "(", ...sum, ")"] : sum;
  const shift = number.shift ? [`${rounded(Number(number.shift), WRITTEN)} + `] : [];
  const parts = sum.length ? outer : ["0"];
  const own = rounded(Number(number.value), LISTED);
  return make("p", { className: "equation in-numbers" }, `${own} = `, ...shift, ...parts);
}

const outerName = (name) => (name === "sqrt" ? "√" : name);

const inBrackets = (x) => {
  const text = rounded(x, WRITTEN);
  return /^[−+]/.test(text) ? `(${text})` : text;
};

/** One term in numbers: value · factor, or a function of the value. */
function product({ to, value, factor, factor_to: factorTo }, { inner, shift, center }) {
  const [x, f] = [Number(value), Number(factor)];
  const number = (target, text) =>
    target ? make("a", { href: linkTo(target), title: target.label }, text) : text;
  const isPlain = !factorTo && Math.abs(f) === 1;
  const times = isPlain ? [] : ["·", number(factorTo, inBrackets(f))];
  const sign = isPlain && f < 0 ? "−" : "";
  if (inner === "exp") {
    const from = Number(shift) < 0 ? `+ ${rounded(-shift, WRITTEN)}` : `− ${rounded(Number(shift), WRITTEN)}`;
    return [`${sign}e`, make("sup", {}, number(to, rounded(x, WRITTEN)), ` ${from}`), ...times];
  }
  if (inner === "square" && center) {
    const from = Number(center) < 0 ? `+ ${rounded(-center, WRITTEN)}` : `− ${rounded(Number(center), WRITTEN)}`;
    return [`${sign}(`, number(to, rounded(x, WRITTEN)), ` ${from})²`, ...times];
  }
  if (inner === "square") return [sign, number(to, inBrackets(x)), "²", ...times];
  return [sign, number(to, inBrackets(x)), ...times];
}

/**
 * List the terms of a number, the largest first.
 * @param {any} number as /api/number describes it
 * @returns {HTMLElement[]}
 */
export function makeTerms(number) {
  const { terms, num_terms: total } = number;
  if (!total) return [make("p", { className: "hint" }, "No number leads to this one: its sum has no terms.")];
  const largest = Math.max(...terms.map((term) => Math.abs(Number(term.contribution)) || 0));
  const listed = terms.length < total ? `, of which the largest ${count(terms.length)} are listed` : "";
  const list = make(
    "ol",
    { className: "terms" },
    ...terms.map((term) => makeTerm(term, largest, number)),
  );
  const rest = terms.length < total ? [`All others together: ${exact(Number(number.rest))}`] : [];
  return [
    make("h3", {}, termsText(total, listed)),
    make(
      "p",
      { className: "hint" },
      "A bar shows what a term adds (orange) or takes away (blue). Each link leads to the number behind it.",
    ),
    ...shorten(list, MOST_LISTED),
    ...rest.map((text) => make("p", { className: "hint" }, text)),
  ];
}

const termsText = (total, listed) => {
  if (total === 1) return "1 term";
  return total === 2 ? "2 terms" : `${count(total)} terms, the largest first${listed}`;
};

function makeTerm({ to, value, factor, contribution, factor_to: factorTo }, largest, number) {
  const amount = Number(contribution);
  const ratio = largest && Number.isFinite(largest) ? Math.abs(amount) / largest : 0;
  const fill = make("span", { className: amount < 0 ? "term-fill negative" : "term-fill positive" });
  fill.style.width = `${50 * Math.min(1, ratio || 0)}%`;
  const label = to?.label ?? "number";
  const live = `${label}, value ${exact(Number(value))}, contribution ${exact(amount)}`;
  const source = linked(to, Number(value), to?.label, { "data-live": live });
  const f = Number(factor);
  const isPlain = !factorTo && f === 1;
  const words = factorTo?.label;
  const times = isPlain
    ? []
    : [
        make("span", { className: "times" }, "×"),
        linked(factorTo, f, words, { "data-live": `factor ${words ?? ""} ${exact(f)}` }),
      ];
  return make(
    "li",
    { className: "term" },
    make("span", { className: "term-bar", "aria-hidden": "true" }, fill),
    make("span", { className: "amount", title: exact(amount) }, rounded(amount, LISTED)),
    make("span", { className: "times" }, "="),
    inside(source, number),
    ...times,
  );
}

/** A value within the inner function of the sum: e^(x − shift) or (x − center)². */
function inside(source, { inner, shift, center }) {
  if (!inner) return source;
  const by = Number(inner === "exp" ? shift : center);
  const sign = by < 0 ? "+" : "−";
  const [before, after] = inner === "exp" ? ["e^(", ")"] : ["(", ")²"];
  const from = by ? ` ${sign} ${rounded(Math.abs(by), WRITTEN)}` : "";
  return make("span", { className: "inside" }, before, source, `${from}${after}`);
}

/** A number with its name below, as a link if it can be shown. */
function linked(to, x, label, properties) {
  const parts = [
    make("span", { className: "digits", title: exact(x) }, rounded(x, LISTED)),
    ...(label ? [make("span", { className: "label" }, ...breakable(label))] : []),
  ];
  if (!to) return make("span", { className: "source" }, ...parts);
  return make("a", { className: "source", href: linkTo(to), ...properties }, ...parts);
}

/** A label that may be broken behind its dots and underscores. */
const breakable = (label) => label.split(/(?<=[._])/).flatMap((part) => [part, make("wbr")]);

/**
 * Hide all but the first items of a list, behind a button that shows them.
 * @param {HTMLElement} list
 * @param {number} maximum number of items that stay
 * @returns {HTMLElement[]} the list, and the button if there is something to show
 */
export function shorten(list, maximum) {
  const items = /** @type {HTMLElement[]} */ ([...list.children]).slice(maximum);
  if (!items.length) return [list];
  for (const item of items) item.hidden = true;
  const button = make("button", { type: "button", className: "quiet" }, `Show all ${count(list.children.length)}`);
  button.addEventListener("click", () => {
    for (const item of items) item.hidden = false;
    items[0].querySelector("a")?.focus();
    button.remove();
  });
  return [list, button];
}
