// The training from a step on with the switches held, beside the training that was.

import { make } from "./dom.js";
import { count, exact } from "./format.js";
import { makePanel, taskOf } from "./tasks.js";
import { makeComparison } from "./without.js";

/**
 * Make the part of the switches that trains again with them.
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @returns {HTMLElement}
 */
export function makeRetraining(state, info) {
  if (!info.steps) return make("p", { className: "hint" }, `${info.no_steps_reason}.`);
  if (state.batch) {
    return make("p", { className: "hint" }, "Type a text above: its loss is followed along the training.");
  }
  const { first, last } = info.steps;
  const start = field("from step", Math.min(Number(state.step ?? first), last - 1), first, last - 1);
  const end = field("to step", last, first + 1, last);
  const slot = make("div");
  const ask = () => {
    const body = {
      folder: info.id,
      ...(state.chat === undefined ? { text: state.text } : { chat: state.chat }),
      edit: state.edit,
      first: Number(start.input.value),
      last: Number(end.input.value),
    };
    slot.replaceChildren(makePanel(taskOf("edited", body), "Train again with the switches", drawResult));
  };
  for (const { input } of [start, end]) input.addEventListener("change", ask);
  ask();
  return make(
    "div",
    { className: "retraining" },
    make(
      "p",
      { className: "hint" },
      "The switches are set at a step and again after each later one, and the training goes on with the same documents. Both trainings are real.",
    ),
    make("div", { className: "heads" }, start.label, end.label),
    slot,
  );
}

function field(name, value, min, max) {
  const input = make("input", { type: "number", value: `${value}`, min: `${min}`, max: `${max}`, step: "1", "data-focus": `training ${name}` });
  return { input, label: make("label", {}, `${name} `, input) };
}

function drawResult(result) {
  const { steps, losses, other, difference } = result;
  const rows = [
    [`loss after step ${count(steps.at(-1))}, as it was`, losses.at(-1)],
    ["with the switches", other.at(-1)],
    ["difference", difference],
  ].flatMap(([name, number]) => [make("dt", {}, name), make("dd", {}, exact(Number(number)))]);
  return [
    makeComparison(result, "as it was", "with the switches"),
    make("dl", { className: "facts-list" }, ...rows),
  ];
}
