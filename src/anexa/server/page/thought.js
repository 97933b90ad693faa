// The thought before an answer: its steps, and the marks of the checker.

import { parseStep, renderColumns } from "./columns.js";
import { element } from "./dom.js";

// A step of the arithmetic that Anexa's own models write, or its beginning.
const ARITHMETIC = /^(?:-\()?[A-Z]\d[-+*/?<>=(),:;0-9A-Za-z]*(?: R? ?\d*)?$/;
const WITH_REMAINING = /^(.*:-?(?:[A-Z]\d)+(?: R \d+)?)(:=?.*)$/; // the step, what remains after it
const LONG_THOUGHT = 400; // characters from which a thought is folded at first

/**
 * The checker's verdict on a thought: its kind colors the marks of the steps.
 * @param {import("./store.js").Turn} turn
 * @returns {{kind: "right" | "wrong" | "unknown", text: string} | null} null if no step can be read
 */
export function verdictOf(turn) {
  const result = turn.check;
  if (!result?.lines.some((line) => line.parsed)) return null;
  const count = result.lines.length;
  const [steps, lead] =
    count === 1 ? ["the one step is true", "does"] : [`all ${count} steps are true`, "do"];
  if (result.all_true && result.question_parsed) return { kind: "right", text: `✓ ${steps}` };
  if (result.all_true) {
    return { kind: "unknown", text: `${steps}; whether they answer the question was not checked` };
  }
  const areTrue = result.lines.every((line) => line.true);
  const but = `${steps}, but ${lead} not lead from the question to the answer: `;
  return { kind: "wrong", text: `✗ ${areTrue ? but : ""}${result.first_error}` };
}

/**
 * Render a thought as a list of steps that can be collapsed; a long one is at first.
 * @param {import("./store.js").Turn} turn
 * @returns {HTMLDetailsElement}
 */
export function renderThought(turn) {
  const details = element("details", { className: "thought" });
  const className = turn.columns ? "steps in-columns" : "steps";
  const summary = element("summary");
  details.append(summary, element("ol", { className }));
  summary.addEventListener("click", () => (turn.open = !details.open));
  updateThought(details, turn);
  return details;
}

/**
 * Show the new text and the marks of a thought; existing elements stay, and so does a selection.
 * @param {HTMLDetailsElement} details
 * @param {import("./store.js").Turn} turn
 */
export function updateThought(details, turn) {
  const [summary, list] = details.children;
  summary.textContent = title(turn);
  details.open = turn.open ?? turn.reasoning.length < LONG_THOUGHT;
  details.dataset.verdict = verdictOf(turn)?.kind ?? "";
  turn.reasoning.split("\n").forEach((line, index) => {
    const item = list.children[index] ?? list.appendChild(element("li"));
    if (turn.columns) item.replaceChildren(...renderColumns(line, turn.check?.lines[index]));
    else setLine(item, line);
    setMark(item, line, turn.check?.lines[index]);
  });
}

/**
 * Whether a thought has a step that can be shown as column arithmetic.
 * @param {import("./store.js").Turn} turn
 * @returns {boolean}
 */
export const hasColumns = (turn) => turn.reasoning?.split("\n").some(parseStep) ?? false;

/** The summary of a thought: its time, its steps and facts, and whether all of them are true. */
function title(turn) {
  const lines = turn.reasoning.trim().split("\n");
  const count = (number, name) => `${number} ${name}${number === 1 ? "" : "s"}`;
  const facts = lines.reduce((sum, line) => sum + line.split(",").length, 0);
  const steps = `${count(lines.length, "step")}, ${count(facts, "fact")}`;
  const isArithmetic = lines.every((line) => ARITHMETIC.test(line));
  if (turn.thinkingSeconds === undefined) return isArithmetic ? `Thinking … ${steps}` : "Thinking …";
  const time = `Thought for ${turn.thinkingSeconds.toFixed(1)} s`;
  if (!isArithmetic) return time;
  const kind = verdictOf(turn)?.kind;
  const areTrue = turn.check?.lines.every((line) => line.true);
  const words = !kind ? "" : !areTrue ? ", not all true" : kind === "wrong" ? "" : ", all true";
  return `${time} · ${steps}${words}`;
}

/** Show a line. A step may be broken between its facts, and not inside one if it fits. */
function setLine(item, line) {
  if (item.textContent === line) return;
  const isStep = ARITHMETIC.test(line);
  const [, step, remaining] = WITH_REMAINING.exec(line) ?? [line, line, ""];
  // The expression and its colon; each fact and its comma; the last fact and its colon; the value.
  const pieces = isStep ? step.match(/^[^:]*:?|[^,]+?(?:,|:(?=[^:,]*$)|$)/g) : [line];
  if (isStep && remaining) pieces.push(remaining);
  const className = isStep ? "unbroken" : "";
  item.replaceChildren(...pieces.map((text) => element("span", { className, text })));
}

function setMark(item, line, checked) {
  if (!checked?.parsed) return;
  // A true step with a number from nowhere proves nothing.
  const [mark, className] = !checked.true ? ["✗", "wrong"] : checked.error ? ["?", ""] : ["✓", "true"];
  item.dataset.mark = mark;
  item.className = className;
  item.title = checked.error ?? "";
  const said = checked.error ?? "true";
  if (!item.querySelector(".facts")) item.setAttribute("aria-label", `${line}: ${said}`);
}
