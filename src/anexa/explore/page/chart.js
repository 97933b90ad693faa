// A chart of numbers over the steps of a run: lines, points and bars, with its numbers as a table.

import { draw, make } from "./dom.js";
import { compact, count, exact } from "./format.js";

const SIZE = 1000; // of the drawing's own coordinates, which are stretched over the plot
const MOST_POINTS = 4000; // that are drawn one by one
const MOST_ROWS = 5000; // of the table
const MARGIN = 0.05; // of the height, above and below the numbers

/**
 * @typedef {Object} Series
 * @property {string} name - what its numbers are
 * @property {"line" | "points" | "bars"} kind
 * @property {number[]} x - steps
 * @property {number[]} y - numbers; those that are not finite are not drawn
 */

/**
 * @typedef {Object} Chart
 * @property {HTMLElement} element
 * @property {HTMLElement} plot - the part with the curves; its children are placed in percent
 * @property {(step: number) => number} percent - where a step is, from the left of the plot
 * @property {(percent: number) => number} stepAt - the step at a position on the axis
 */

/**
 * Make a chart.
 * @param {Object} options
 * @param {string} options.label - what the chart shows, for screen readers and the table
 * @param {Series[]} options.series
 * @param {[number, number]} [options.steps] - first and last step of the axis
 * @param {boolean} [options.table] - whether its numbers can be shown as a table
 * @returns {Chart}
 */
export function makeChart({ label, series, steps = extent(series.flatMap(({ x }) => x)), table = true }) {
  const [first, last] = steps;
  const percent = (step) => (last > first ? (100 * (step - first)) / (last - first) : 50);
  const stepAt = (percent) => Math.round(first + ((last - first) * Math.min(100, Math.max(0, percent))) / 100);
  const { low, high, top, bottom } = scaleOf(series);
  const x = (step) => (percent(step) * SIZE) / 100;
  const y = (number) => (SIZE * (top - number)) / (top - bottom);
  const svg = draw("svg", {
    viewBox: `0 0 ${SIZE} ${SIZE}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": label,
  });
  if (bottom < 0 && top > 0) svg.append(draw("path", { class: "zero", d: `M0 ${y(0)}H${SIZE}` }));
  series.forEach((one, i) => {
    svg.append(draw("path", { class: colorOf(series, i), d: pathOf(one, x, y) }));
  });
  const plot = make("div", { className: "plot" }, svg);
  const element = make(
    "div",
    { className: "chart" },
    makeLegend(series),
    make(
      "div",
      { className: "chart-body" },
      makeScale([high, low], (number) => y(number) / SIZE),
      plot,
      make("div", { className: "chart-steps" }, make("span", {}, count(first)), make("span", {}, "step"), make("span", {}, count(last))),
    ),
    ...(table ? [makeTable(label, series)] : []),
  );
  return { element, plot, percent, stepAt };
}

/**
 * Mark a step of a chart with a line.
 * @param {Chart} chart
 * @param {string | number | undefined} step - nothing is marked without one
 */
export function markStep(chart, step) {
  if (step === undefined) return;
  const mark = make("div", { className: "mark", "aria-hidden": "true" });
  mark.style.left = `${chart.percent(Number(step))}%`;
  chart.plot.append(mark);
}

/**
 * The mean of each number and those before it, at most `size` of them.
 * @param {number[]} numbers
 * @param {number} size
 * @returns {number[]} NaN where one of them is not finite
 */
export function runningMean(numbers, size) {
  return numbers.map((_, i) => {
    const part = numbers.slice(Math.max(0, i + 1 - size), i + 1);
    return part.reduce((sum, number) => sum + number, 0) / part.length;
  });
}

/**
 * The lowest and the highest finite number; 0 and 1 if there is none.
 * @param {number[]} numbers
 * @returns {[number, number]}
 */
function extent(numbers) {
  let [low, high] = [Infinity, -Infinity];
  for (const number of numbers) {
    if (!Number.isFinite(number)) continue;
    low = Math.min(low, number);
    high = Math.max(high, number);
  }
  return low <= high ? [low, high] : [0, 1];
}

function scaleOf(series) {
  const numbers = series.flatMap(({ kind, y }) => (kind === "bars" ? [0, ...y] : y));
  const [low, high] = extent(numbers);
  const margin = high > low ? MARGIN * (high - low) : Math.max(Math.abs(high) * MARGIN, 1e-12);
  return { low, high, top: high + margin, bottom: low - margin };
}

/** The numbers of a series as an SVG path. */
function pathOf({ kind, x: steps, y: numbers }, x, y) {
  const drawn = kind === "line" ? [...numbers.keys()] : extremes(numbers);
  const at = (i) => `${x(steps[i]).toFixed(2)} ${y(numbers[i]).toFixed(2)}`;
  const parts = drawn.map((i, k) => {
    if (!Number.isFinite(numbers[i])) return "";
    if (kind === "points") return `M${at(i)}h0`;
    if (kind === "bars") return `M${x(steps[i]).toFixed(2)} ${y(0).toFixed(2)}V${y(numbers[i]).toFixed(2)}`;
    return `${k && Number.isFinite(numbers[i - 1]) ? "L" : "M"}${at(i)}`;
  });
  return parts.join("");
}

/** The places of all numbers; of too many, the lowest and the highest of each part. */
function extremes(numbers) {
  const size = Math.ceil((2 * numbers.length) / MOST_POINTS);
  if (size <= 2) return [...numbers.keys()];
  const found = [];
  for (let start = 0; start < numbers.length; start += size) {
    let [low, high] = [start, start];
    for (let i = start; i < Math.min(start + size, numbers.length); i += 1) {
      if (numbers[i] < numbers[low]) low = i;
      if (numbers[i] > numbers[high]) high = i;
    }
    found.push(low, high);
  }
  return found;
}

/** The classes of a series: points are gray, and lines and bars have a color each. */
function colorOf(series, i) {
  const before = series.slice(0, i).filter(({ kind }) => kind !== "points").length;
  return series[i].kind === "points" ? "points" : `${series[i].kind} series-${before}`;
}

function makeLegend(series) {
  const items = series.map(({ name }, i) =>
    make("li", {}, make("span", { className: `swatch ${colorOf(series, i)}` }), name),
  );
  return make("ul", { className: "legend" }, ...items);
}

/** The highest and the lowest number, at their heights. */
function makeScale(numbers, height) {
  const labels = [...new Set(numbers)].map((number) => {
    const text = make("span", {}, compact(number));
    text.style.top = `${100 * height(number)}%`;
    return text;
  });
  return make("div", { className: "chart-scale", "aria-hidden": "true" }, ...labels);
}

/** The numbers as a table, made when it is opened. */
function makeTable(label, series) {
  const details = make("details", { className: "chart-table" }, make("summary", {}, "as a table"));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(tableOf(label, series));
  });
  return details;
}

function tableOf(label, series) {
  const columns = series.map(({ x, y }) => new Map(x.map((step, i) => [step, y[i]])));
  const steps = [...new Set(series.flatMap(({ x }) => x))].sort((a, b) => a - b);
  const rows = steps.slice(0, MOST_ROWS).map((step) => {
    const cells = columns.map((column) =>
      make("td", {}, column.has(step) ? exact(column.get(step)) : ""),
    );
    return make("tr", {}, make("th", { scope: "row" }, count(step)), ...cells);
  });
  const shown = rows.length < steps.length ? `, the first ${count(rows.length)} of ${count(steps.length)} steps` : "";
  const heads = ["step", ...series.map(({ name }) => name)].map((name) => make("th", { scope: "col" }, name));
  return make(
    "div",
    { className: "grid-table", tabIndex: 0, role: "region", "aria-label": label },
    make(
      "table",
      {},
      make("caption", {}, `${label}${shown}`),
      make("thead", {}, make("tr", {}, ...heads)),
      make("tbody", {}, ...rows),
    ),
  );
}
