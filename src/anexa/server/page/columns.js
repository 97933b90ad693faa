// A step of a thought as column arithmetic, as on paper: the digits under each other, the carries
// above them, and each fact in words. The format of a step is that of anexa/thinking/thoughts.py.

import { element } from "./dom.js";

/**
 * A step: `expression:facts:value`.
 * @typedef {object} ThoughtStep
 * @property {string} left first operand
 * @property {"+" | "-" | "*" | "?"} operation "?" is a comparison
 * @property {string} right second operand
 * @property {string[]} facts equations of the columns, units first
 * @property {string} value
 */

const STEP = /^(?:-\()?(\d+)([-+*?])(\d+)\)?:([-+*<=>\d,]*):(-?\d+|[<=>])$/;
// For each operation the equation of a column, in the order of its groups.
const FACTS = {
  "+": /^(\d)\+(\d)\+(\d)=(\d)(\d)$/,
  "*": /^(\d)\*(\d)\+(\d)=(\d)(\d)$/,
  "-": /^(\d)(\d)-(\d)-(\d)=(\d)$/,
};
const SIGNS = { "+": "+", "-": "−", "*": "×", "?": "?" };

/**
 * Parse a line of a thought.
 * @param {string} line
 * @returns {ThoughtStep | null} null if it has another format
 */
export function parseStep(line) {
  const match = STEP.exec(line);
  if (!match) return null;
  const [, left, operation, right, facts, value] = match;
  return { left, operation, right, facts: facts.split(","), value };
}

/**
 * The equation of a column in words: what is written and what is carried.
 * @param {ThoughtStep} step
 * @param {number} index index of the fact
 * @returns {string} the fact as it is if it has another format
 */
export function explain({ operation, facts }, index) {
  const fact = facts[index];
  const digits = FACTS[operation]?.exec(fact)?.slice(1).map(Number);
  if (!digits) return fact.replace(/([<=>])/, " $1 ");
  if (operation === "-") {
    const [borrow, x, y, borrowed, digit] = digits;
    const terms = [10 * borrow + x, y, ...(borrowed ? [borrowed] : [])].join(" − ");
    return `${terms} = ${digit}: write ${digit}${borrow ? ", borrow 1" : ""}`;
  }
  const [x, y, carried, carry, digit] = digits;
  const terms = `${x} ${SIGNS[operation]} ${y}${carried ? ` + ${carried}` : ""}`;
  const total = 10 * carry + digit;
  const isLast = index === facts.length - 1;
  const written = isLast || !carry ? `write ${total}` : `write ${digit}, carry ${carry}`;
  return `${terms} = ${total}: ${written}`;
}

/**
 * Carries into the columns of the first operand, leftmost first; a space where nothing is carried.
 * @param {ThoughtStep} step
 * @returns {string}
 */
export function carries({ operation, left, facts }) {
  const carried = facts.map((fact) => {
    const digits = FACTS[operation]?.exec(fact)?.slice(1);
    const carry = digits?.[operation === "-" ? 0 : 3] ?? "0";
    return carry === "0" ? " " : carry;
  });
  return [" ", ...carried].slice(0, left.length).reverse().join("");
}

/**
 * Render a step.
 * @param {string} line
 * @param {{facts: {true: boolean, fits: boolean}[]} | undefined} checked the checker's result
 * @returns {Node[]}
 */
export function renderColumns(line, checked) {
  const step = parseStep(line);
  if (!step) return [element("span", { text: line })];
  const list = element("ol", { className: "facts" });
  const zeros = step.operation === "*" ? step.right.slice(1) : "";
  if (zeros) list.append(element("li", { text: `${step.right} ends in ${zeros}: write ${zeros}` }));
  step.facts.forEach((_, index) => {
    const fact = checked?.facts?.[index];
    const className = fact && !(fact.true && fact.fits) ? "wrong" : "";
    list.append(element("li", { className, text: explain(step, index) }));
  });
  list.append(element("li", { text: conclusion(step) }));
  return step.operation === "?" ? [list] : [renderPaper(step), list];
}

function conclusion({ left, operation, right, value }) {
  if (operation === "?") return `so ${left} ${value} ${right}`;
  const isNegative = operation === "-" && value.startsWith("-");
  const [first, second] = isNegative ? [right, left] : [left, right];
  return `so ${first} ${SIGNS[operation]} ${second} = ${value.replace("-", "−")}`;
}

/** The digits under each other; screen readers are told the facts instead. */
function renderPaper(step) {
  const { left, operation, right } = step;
  const value = step.value.replace("-", "−");
  const width = Math.max(left.length, right.length + 2, value.length);
  const row = (className, text) => element("div", { className, text: text.padStart(width) });
  const second = SIGNS[operation] + right.padStart(width - 1);
  const paper = element("div", { className: "paper-sum" });
  paper.setAttribute("aria-hidden", "true");
  paper.append(row("carries", carries(step)), row("", left), row("", second), row("value", value));
  return paper;
}
