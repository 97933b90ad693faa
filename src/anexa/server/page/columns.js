// A step of a thought as column arithmetic, as on paper: the digits under each other, the carries
// above them, and the facts in words. The format of a step is that of anexa/thinking/thoughts.py.

import { divisionRows, explainDivision } from "./division.js";
import { element } from "./dom.js";

/**
 * A step: `expression:facts:value` or `…:value:=remaining`, with its numbers as they are usually
 * written.
 * @typedef {object} ThoughtStep
 * @property {boolean} negated whether the expression stands in -(…)
 * @property {string} left first operand
 * @property {"+" | "-" | "*" | "/" | "?>" | "?<"} operation "?>" is the larger number, "?<" the smaller
 * @property {string} right second operand
 * @property {string[]} facts equations about one or two digits
 * @property {string} value such as "-4525" or "26 R 30"
 * @property {string} remaining calculation that remains, such as "63 × 5"; empty if none does
 */

/**
 * A sentence about facts.
 * @typedef {{text: string, facts: number[]}} Sentence indices of the facts
 */

const STEP =
  /^(-\()?((?:[A-Z]\d)+)([-+*/]|\?[<>])((?:[a-z]\d)+)\)?:([-+*/<=>:;,\dA-Za-z]*):(-?(?:[A-Z]\d)+(?: R \d+)?)(?::=([-+*/()\dA-Z]+))?$/;
const COMPARED = /^[A-Z]:(\d)([<=>])(\d)$/;
const ADDED = /^[A-Z]:(\d)\+(\d)\+(\d)=(\d)(\d)$/;
const SUBTRACTED = /^[A-Z]:(\d)(\d)-(\d)-(\d)=(\d)$/;
const MULTIPLIED = /^[A-Z](\d)\*[a-z](\d)\+(\d+)=(\d+)(;[A-Z]\d)?$/;
const SIGNS = { "+": "+", "-": "−", "*": "×", "/": "÷" };
const COMPARISONS = { "?>": "larger", "?<": "smaller" };

/**
 * Parse a line of a thought.
 * @param {string} line
 * @returns {ThoughtStep | null} null if it has another format
 */
export function parseStep(line) {
  const match = STEP.exec(line);
  if (!match) return null;
  const [, negated, left, operation, right, facts, value, remaining = ""] = match;
  if (negated && operation in COMPARISONS) return null;
  return {
    negated: negated !== undefined,
    left: [...digitsOf(left)].reverse().join(""),
    operation: /** @type {ThoughtStep["operation"]} */ (operation),
    right: [...digitsOf(right)].reverse().join(""),
    facts: facts.split(","),
    value: digitsOf(value),
    remaining: usual(digitsOf(remaining)),
  };
}

const digitsOf = (number) => number.replace(/[A-Za-z](?=\d)/g, "");
const withoutZeros = (number) => number.replace(/^0+(?=\d)/, "");

/** A calculation with the usual signs, and spaces around those between two numbers. */
const usual = (calculation) =>
  calculation.replace(/([\d)])([-+*/])/g, (_, before, sign) => `${before} ${SIGNS[sign]} `).replaceAll("-", "−");

/**
 * The facts in words: what is written and what is carried.
 * @param {ThoughtStep} step
 * @returns {Sentence[]} facts of another format stand as they are
 */
export function explain({ operation, facts }) {
  if (operation === "/") return explainDivision(facts);
  /** @type {Sentence[]} */
  const sentences = [];
  let parts = [];
  const add = (number, text, isWhole) => {
    parts.push([number, text]);
    if (!isWhole) return;
    const text_ = parts.map(([, part]) => part).join(", ");
    sentences.push({ text: text_, facts: parts.map(([index]) => index) });
    parts = [];
  };
  facts.forEach((fact, index) => {
    const isLast = index === facts.length - 1;
    const next = facts[index + 1] ?? "";
    let match;
    if ((match = COMPARED.exec(fact))) {
      add(index, match.slice(1).join(" "), !COMPARED.test(next));
    } else if (operation === "*" && (match = MULTIPLIED.exec(fact))) {
      add(index, explainProduct(match, isLast), match[5] !== undefined || isLast);
    } else {
      add(index, explainColumn(operation, fact, isLast), true);
    }
  });
  if (parts.length) add(parts.pop()[0], "", true);
  return sentences;
}

function explainProduct([, x, y, before, total, place], isLast) {
  const sum = withoutZeros(before) === "0" ? "" : ` + ${withoutZeros(before)}`;
  const number = withoutZeros(total);
  const equation = `${x} × ${y}${sum} = ${number}`;
  if (place === undefined) return equation;
  if (isLast || number.length === 1) return `${equation}: write ${number}`;
  return `${equation}: write ${number.slice(-1)}, carry ${number.slice(0, -1)}`;
}

function explainColumn(operation, fact, isLast) {
  let match;
  if (operation === "+" && (match = ADDED.exec(fact))) {
    const [x, y, carried, carry, digit] = match.slice(1).map(Number);
    const total = 10 * carry + digit;
    const written = isLast || !carry ? `write ${total}` : `write ${digit}, carry ${carry}`;
    return `${x} + ${y}${carried ? ` + ${carried}` : ""} = ${total}: ${written}`;
  }
  if (operation === "-" && (match = SUBTRACTED.exec(fact))) {
    const [borrow, x, y, borrowed, digit] = match.slice(1).map(Number);
    const terms = [10 * borrow + x, y, ...(borrowed ? [borrowed] : [])].join(" − ");
    return `${terms} = ${digit}: write ${digit}${borrow ? ", borrow 1" : ""}`;
  }
  return fact;
}

/**
 * Carries or borrows into the columns of a sum or a difference, leftmost first; a space where
 * nothing is carried.
 * @param {ThoughtStep} step
 * @returns {string}
 */
export function carries({ operation, left, facts }) {
  const pattern = operation === "+" ? ADDED : SUBTRACTED;
  const columns = facts.filter((fact) => !COMPARED.test(fact));
  const carried = columns.map((fact) => {
    const carry = pattern.exec(fact)?.[operation === "+" ? 4 : 1] ?? "0";
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
  for (const { text, facts } of explain(step)) {
    const isWrong = facts.some((index) => {
      const fact = checked?.facts?.[index];
      return fact && !(fact.true && fact.fits);
    });
    list.append(element("li", { className: isWrong ? "wrong" : "", text }));
  }
  list.append(element("li", { text: conclude(step) }));
  return step.operation in COMPARISONS ? [list] : [renderPaper(step), list];
}

/**
 * Say what a step finds, and what remains to be calculated.
 * @param {ThoughtStep} step
 * @returns {string}
 */
export function conclude({ negated, left, operation, right, value, remaining }) {
  const [first, second] = [withoutZeros(left), withoutZeros(right)];
  const result = value.replace("-", "−");
  const end = remaining ? `, and ${remaining} remains` : "";
  if (operation in COMPARISONS) {
    const areEqual = first === second && first === value;
    return `so ${areEqual ? "they are equal" : `${result} is ${COMPARISONS[operation]}`}${end}`;
  }
  const expression = `${first} ${SIGNS[operation]} ${second}`;
  return `so ${negated ? `−(${expression})` : expression} = ${result}${end}`;
}

/** The digits under each other; screen readers are told the facts instead. */
function renderPaper(step) {
  const { operation } = step;
  const paper = element("div", { className: "paper-sum" });
  paper.setAttribute("aria-hidden", "true");
  if (operation === "/") {
    paper.append(...divisionRows(step).map(([className, text]) => element("div", { className, text })));
    return paper;
  }
  const value = step.value.replace("-", "");
  // A negative difference is calculated the other way round.
  const isSwapped = operation === "-" && step.value.startsWith("-");
  const [left, right] = isSwapped ? [step.right, step.left] : [step.left, step.right];
  const width = Math.max(left.length, right.length + 2, value.length);
  const row = (className, text) => element("div", { className, text: text.padStart(width) });
  const second = SIGNS[operation] + right.padStart(width - 1);
  if (operation === "+" || operation === "-") paper.append(row("carries", carries(step)));
  paper.append(row("", left), row("", second), row("value", value));
  return paper;
}
