// The thought before an answer: its steps, and the marks of the checker.

import { parseStep, renderColumns } from "./columns.js";
import { element } from "./dom.js";

// A step of the arithmetic that Anexa's own models write, or its beginning.
const ARITHMETIC = /^[-+*?<>=(),:0-9]+$/;

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
 * Render a thought as a list of steps that can be collapsed.
 * @param {import("./store.js").Turn} turn
 * @returns {HTMLDetailsElement}
 */
export function renderThought(turn) {
  const details = element("details", { className: "thought", open: turn.open ?? true });
  const className = turn.columns ? "steps in-columns" : "steps";
  details.append(element("summary"), element("ol", { className }));
  details.addEventListener("toggle", () => (turn.open = details.open));
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

function title(turn) {
  if (turn.thinkingSeconds === undefined) return "Thinking …";
  return `Thought for ${turn.thinkingSeconds.toFixed(1)} s`;
}

/** Show a line. A step may be broken after a comma and a colon, and never inside a number. */
function setLine(item, line) {
  if (item.textContent === line) return;
  const pieces = ARITHMETIC.test(line) ? line.match(/[^,:]*[,:]|[^,:]+/g) : [line];
  const className = ARITHMETIC.test(line) ? "unbroken" : "";
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
