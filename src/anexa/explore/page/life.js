// The life of one weight: its value, gradient and means over the steps of the run.

import { makeChart, markStep } from "./chart.js";
import { make } from "./dom.js";
import { exact } from "./format.js";
import { link } from "./state.js";
import { makePanel, taskOf } from "./tasks.js";

const CURVES = [
  ["value", "value", "line", "the weight after each step"],
  ["gradient", "gradient", "points", "the slope of the loss at the weight, which the step used"],
  ["m", "mean m", "line", "the optimizer's mean of the gradients"],
  ["v", "mean square v", "line", "the optimizer's mean of the squared gradients"],
];

/**
 * Make the section with the life of the weight of the address.
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @returns {HTMLElement}
 */
export function makeLife(state, info) {
  const index = state.index ? `${state.index}`.split(",").map(Number) : [];
  const { first, last } = info.steps;
  const task = taskOf("life", { folder: info.id, tensor: state.tensor, index, first, last });
  return make(
    "section",
    { className: "part life" },
    make("h3", {}, `The life of ${state.tensor}[${state.index}]`),
    make("p", { className: "hint" }, "One weight over all steps, repeated by the run's own engine."),
    makePanel(task, `Follow it from step ${first} to ${last}`, ({ points }) => drawLife(points, state, info)),
  );
}

function drawLife(points, state, info) {
  const charts = CURVES.map(([key, name, kind, meaning]) => {
    const known = points.filter((point) => point[key] !== null);
    if (!known.length) return make("p", { className: "hint" }, `This run has no ${name} of this weight.`);
    const [x, y] = [known.map(({ step }) => step), known.map((point) => Number(point[key]))];
    const series = [{ name: `${name}: ${meaning}`, kind, x, y }];
    const chart = makeChart({
      label: `${name} of ${state.tensor}[${state.index}]`,
      series: /** @type {import("./chart.js").Series[]} */ (series),
      steps: [info.steps.first, info.steps.last],
    });
    markStep(chart, state.step);
    return chart.element;
  });
  const now = points.find(({ step }) => step === Number(state.step));
  return [...(now && state.step !== undefined ? [makeNow(now)] : []), make("div", { className: "charts" }, ...charts)];
}

/** The four numbers at the step that is shown; each leads to where it comes from. */
function makeNow(point) {
  const facts = CURVES.filter(([key]) => point[key] !== null).flatMap(([key, name]) => {
    const href = link({ view: "number", quantity: key === "value" ? undefined : key });
    return [make("dt", {}, name), make("dd", {}, make("a", { href, "data-focus": `life ${key}` }, exact(Number(point[key]))))];
  });
  return make("dl", { className: "facts-list" }, ...facts);
}
