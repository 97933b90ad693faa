// A training without one of its steps, beside the training that was.

import { makeChart } from "./chart.js";
import { make } from "./dom.js";
import { count, exact } from "./format.js";
import { link } from "./state.js";
import { makePanel, taskOf } from "./tasks.js";

/** What the difference at the end says, by its sign. */
const OUTCOMES = {
  1: "in the end the step helped your text",
  0: "in the end the step makes no difference to your text",
  "-1": "in the end the step harmed your text",
};

/**
 * Make the section about the step that is left out, if the address names one.
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @param {{folder: number, text?: string, chat?: string}} asked the text
 * @returns {HTMLElement[]}
 */
export function makeWithout(state, info, asked) {
  if (state.skipped === undefined) return [];
  const skipped = Number(state.skipped);
  const { last } = info.steps;
  const task = taskOf("without", { ...asked, skipped, last });
  const close = make("a", { className: "button", href: link({ skipped: undefined }), "data-focus": "close" }, "Close");
  return [
    make(
      "section",
      { className: "part without" },
      make("h3", {}, `The training without step ${count(skipped)}`),
      make(
        "p",
        { className: "hint" },
        "The step is not taken, and all later steps learn from the same documents as before. Both trainings are real.",
      ),
      makePanel(task, `Train again without step ${skipped}`, (result) => drawResult(result, skipped)),
      close,
    ),
  ];
}

/**
 * Show the loss of a text along two trainings.
 * @param {{steps: number[], losses: any[], other: any[], difference: any}} result
 * @param {string} was - name of the training that was
 * @param {string} other - name of the other
 * @returns {HTMLElement}
 */
export function makeComparison({ steps, losses, other: others }, was, other) {
  const chart = makeChart({
    label: "loss of the text along two trainings",
    series: [
      { name: was, kind: "line", x: steps, y: losses.map(Number) },
      { name: other, kind: "line", x: steps, y: others.map(Number) },
    ],
  });
  return chart.element;
}

function drawResult(result, skipped) {
  const { steps, losses, other } = result;
  const difference = Number(result.difference);
  /** @type {[string, number][]} */
  const numbers = [
    [`loss after step ${count(steps.at(-1))}, with step ${count(skipped)}`, Number(losses.at(-1))],
    ["without it", Number(other.at(-1))],
    [`difference: ${OUTCOMES[Math.sign(difference)] ?? "not a number"}`, difference],
  ];
  const rows = numbers.flatMap(([name, number]) => [make("dt", {}, name), make("dd", {}, exact(number))]);
  return [
    makeComparison(result, `with step ${count(skipped)}, as it was`, "without it"),
    make("dl", { className: "facts-list" }, ...rows),
  ];
}
