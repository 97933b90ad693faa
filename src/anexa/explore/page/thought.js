// A thought: its lines and their parts, and for the chosen part where its digits come from.

import { get } from "./api.js";
import { make } from "./dom.js";
import { tokenText } from "./format.js";
import { listen, say } from "./keys.js";
import { makePart, marksOf } from "./line_part.js";
import { makePath } from "./path.js";
import { link, scene } from "./state.js";
import { makePanel, taskOf } from "./tasks.js";

const EXAMPLE = "12+34";

/**
 * Show how the model came to its answer.
 * @param {HTMLElement} root
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @param {AbortSignal} signal
 */
export async function show(root, state, info, signal) {
  root.append(
    makePath(["Thought"]),
    make("h2", {}, "Thought"),
    make(
      "p",
      { className: "lead" },
      "Before its answer, the model writes its calculation down: in each line an expression, small facts and the value, and what then remains of a longer calculation. Choose one of these parts to see where its digits come from, and which heads of attention look there. A letter before a digit names its place, A the ones, B the tens and so on; in an expression, the second number has small letters.",
    ),
  );
  listen(root, signal);
  if (!info.chat || state.chat === undefined) {
    root.append(makeNoQuestion(info));
    return;
  }
  const body = {
    folder: Number(state.folder ?? 0),
    step: state.step === undefined ? null : Number(state.step),
    edit: state.edit ?? [],
    question: state.chat,
  };
  const task = taskOf("thought", body);
  signal.addEventListener("abort", () => task.running && task.cancel());
  const draw = (view) => {
    const shown = new ThoughtElement(view, state);
    const find = get("map", scene(state), signal);
    find.then((map) => shown.linkPatterns(map), (error) => signal.aborted || say(error.message));
    return [shown.element];
  };
  root.append(makePanel(task, "Read the thought", draw));
  task.start();
}

function makeNoQuestion({ chat }) {
  if (!chat) return make("p", {}, "This model does not answer questions: choose one that does.");
  const href = link({ text: undefined, batch: undefined, chat: EXAMPLE });
  return make("p", {}, "A thought belongs to a question: choose “Question” above and ask one, such as ", make("a", { href }, EXAMPLE), ".");
}

/** The thought, with one of its parts chosen. */
class ThoughtElement {
  #view;
  #state;
  /** @type {string[]} */
  #patterns = [];
  #chosen = 0;

  /**
   * @param {any} view - as /api/thought describes it
   * @param {import("./state.js").PageState} state
   */
  constructor(view, state) {
    this.#view = view;
    this.#state = state;
    this.tokens = view.tokens.map((token, i) =>
      make("span", { className: token.special ? "token special" : "token", title: `token ${i}` }, tokenText(token)),
    );
    this.parts = view.parts.map((part, i) => this.#makeButton(part, i));
    this.details = make("section", { className: "part-details", "aria-label": "The chosen part" });
    const lines = make("ol", { className: "thought-lines", "aria-label": "Tokens" }, ...this.#makeRows());
    lines.addEventListener("keydown", (event) => this.#press(event));
    this.element = make("div", {}, makeVerdict(view), lines, this.details);
    if (view.parts.length) {
      const wanted = Number(/** @type {any} */ (state).part ?? 0);
      this.#choose(view.parts[wanted] ? wanted : 0);
    } else {
      this.details.append("The model wrote no line that could be followed.");
    }
  }

  /**
   * Link each head to its attention pattern.
   * @param {any} map - as /api/map describes it
   */
  linkPatterns({ tensors }) {
    this.#patterns = tensors.map(({ name }) => name).filter((name) => name.endsWith("attention.pattern"));
    if (this.#view.parts.length) this.#fill();
  }

  /** The tokens in rows: the question, what stands before the first line, the lines, the rest. */
  #makeRows() {
    const { num_prompt_tokens: prompt, lines } = this.#view;
    const starts = lines.map(({ tokens }) => tokens[0]);
    const end = this.tokens.length;
    const first = starts[0] ?? end;
    const rows = [make("li", { className: "prompt" }, ...this.#run(0, prompt))];
    if (prompt < first) rows.push(make("li", { className: "other" }, ...this.#run(prompt, first)));
    lines.forEach((line, i) => {
      const last = starts[i + 1] ?? line.tokens[1];
      rows.push(makeLine(line, this.#run(line.tokens[0], last)));
    });
    const rest = lines.at(-1)?.tokens[1] ?? end;
    if (rest < end) rows.push(make("li", { className: "other" }, ...this.#run(rest, end)));
    return rows;
  }

  /** Tokens from one index to another; those of a part are in its button. */
  #run(start, end) {
    const found = [];
    for (let t = start; t < end; ) {
      const part = this.#view.parts.findIndex(({ tokens }) => tokens[0] === t);
      found.push(part < 0 ? this.tokens[t] : this.parts[part]);
      t = part < 0 ? t + 1 : this.#view.parts[part].tokens[1];
    }
    return found;
  }

  #makeButton(part, i) {
    const button = make(
      "button",
      {
        type: "button",
        className: part.true && part.fits ? "line-part" : "line-part wrong",
        "aria-label": `${part.kind} ${part.text}, ${judge(part)}`,
        "data-focus": `part ${i}`,
        tabIndex: -1,
        onclick: () => (this.#chosen === i ? this.details.querySelector("a")?.focus() : this.#choose(i)),
      },
      ...this.tokens.slice(...part.tokens),
    );
    return button;
  }

  /** Arrows choose the part before or after, in the text or in the line above or below. */
  #press(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || !this.parts.includes(event.target)) return;
    event.preventDefault();
    const { parts } = this.#view;
    const line = parts[this.#chosen].line;
    const isVertical = event.key === "ArrowUp" || event.key === "ArrowDown";
    const wanted = isVertical
      ? parts.findIndex((part) => part.line === line + by)
      : Math.max(0, Math.min(parts.length - 1, this.#chosen + by));
    if (wanted < 0) return;
    this.#choose(wanted);
    this.parts[wanted].focus();
  }

  #choose(i) {
    this.#chosen = i;
    history.replaceState(null, "", link(/** @type {any} */ ({ part: `${i}` })));
    this.parts.forEach((button, at) => {
      button.setAttribute("aria-pressed", `${at === i}`);
      button.tabIndex = at === i ? 0 : -1;
    });
    const part = this.#view.parts[i];
    this.#mark(part);
    this.#fill();
    say(`${part.kind} ${part.text}, ${judge(part)}, ${part.sources.length} digits have a source`);
  }

  /** Mark the digits of a part, and the tokens that they come from, with the same letter. */
  #mark(part) {
    const marks = marksOf(part);
    this.tokens.forEach((token, i) => {
      token.classList.remove("digit", "origin");
      token.querySelector("sup")?.remove();
      const mark = marks.get(i);
      if (!mark) return;
      token.classList.add(mark.isDigit ? "digit" : "origin");
      token.append(make("sup", {}, mark.letters));
    });
  }

  #fill() {
    const focus = document.activeElement?.getAttribute("data-focus");
    const isInside = this.details.contains(document.activeElement);
    this.details.replaceChildren(...makePart(this.#view, this.#chosen, this.#state, this.#patterns));
    if (isInside && focus) this.details.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
  }
}

/** What the checker finds of a part: whether it is true, whether it fits. */
const judge = ({ kind, true: holds, fits }) => {
  const [not, unfit] = {
    expression: ["a number comes from nowhere", ""],
    fact: ["false", "true, but another fact belongs here"],
    value: ["not the result", "the result, but not what the facts say"],
    remaining: ["not what remains", ""],
  }[kind];
  return holds ? (fits ? "true" : unfit) : not;
};

function makeLine({ true: holds, error }, tokens) {
  const words = holds ? "✓ true" : `✗ false: ${error ?? "the checker cannot follow it"}`;
  return make("li", { className: holds ? "line" : "line wrong" }, ...tokens, make("span", { className: "judgment" }, words));
}

/** The answer, the expected one, and the first mistake. */
function makeVerdict({ answer, expected, error, lines }) {
  const isRight = expected !== null && answer.trim() === `${expected}`;
  const whole = lines.length === 1 ? "The line is true" : `All ${lines.length} lines are true`;
  const items = [
    ["Answer", answer || "none"],
    ["Expected", expected === null ? "not known: the checker does not know this form of question" : `${expected}`],
    ["Checker", error ? `First mistake: ${error}` : lines.length ? `${whole}.` : "There is no thought to check."],
  ];
  const rows = items.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text)));
  rows[0].lastChild.className = expected === null ? "" : isRight ? "right" : "wrong";
  if (expected !== null) rows[0].lastChild.append(isRight ? " ✓" : " ✗");
  return make("dl", { className: "verdict" }, ...rows);
}
