// Figures of a number: the curve that it is on, and the singular values along Muon's iterations.

import { draw, make } from "./dom.js";
import { compact } from "./format.js";

const [WIDTH, HEIGHT, MARGIN] = [320, 190, 14];

const picture = (height, label, ...children) =>
  draw(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${height}`, class: "figure", role: "img", "aria-label": label },
    ...children,
  );

const figure = (title, image, text) =>
  make(
    "figure",
    {},
    make("h3", {}, title),
    image,
    make("figcaption", { className: "hint" }, text),
  );

/** A scale from numbers to pixels. */
const scale = (low, high, start, end) => (x) =>
  start + ((x - low) / (high - low || 1)) * (end - start);

/**
 * Draw a function of one number, with the point of the number that is shown and its tangent.
 * @param {any} curve as /api/number describes it
 * @returns {HTMLElement}
 */
export function makeCurve({ name, input, x, y, point, slope }) {
  const [px, py] = point;
  const across = scale(x[0], x.at(-1), MARGIN, WIDTH - MARGIN);
  const up = scale(Math.min(0, ...y), Math.max(0, ...y), HEIGHT - MARGIN, MARGIN);
  const path = x.map((one, i) => `${across(one).toFixed(2)},${up(y[i]).toFixed(2)}`).join(" ");
  const reach = (x.at(-1) - x[0]) / 10;
  const [left, right] = [px - reach, px + reach];
  const text = `${input} = ${compact(px)}, y = ${compact(py)}, slope ${compact(slope)}`;
  const image = picture(
    HEIGHT,
    `Curve of ${name} with the point ${text}`,
    draw("line", { class: "axis", x1: 0, x2: WIDTH, y1: up(0), y2: up(0) }),
    draw("line", { class: "axis", x1: across(0), x2: across(0), y1: 0, y2: HEIGHT }),
    draw("polyline", { class: "curve", points: path }),
    draw("line", {
      class: "tangent",
      x1: across(left),
      y1: up(py - slope * reach),
      x2: across(right),
      y2: up(py + slope * reach),
    }),
    draw("circle", { class: "point", cx: across(px), cy: up(py), r: 4.5 }),
  );
  return figure(`The curve of ${name}`, image, `The point: ${text}.`);
}

/**
 * Draw the singular values of a matrix before each iteration of Muon, and after the last one.
 * @param {number[][]} rows
 * @returns {HTMLElement}
 */
export function makeSingularValues(rows) {
  const height = 26 * rows.length + 22;
  const maximum = Math.max(1.3, ...rows.flat());
  const across = scale(0, maximum, 62, WIDTH - 10);
  const marks = rows.flatMap((values, i) => {
    const y = 26 * i + 16;
    const name = i ? `after ${i}` : "before";
    return [
      draw("text", { x: 0, y: y + 4, class: "tick" }, name),
      draw("line", { class: "axis", x1: across(0), x2: across(maximum), y1: y, y2: y }),
      ...values.map((x) => draw("circle", { class: "dot", cx: across(x), cy: y, r: 3 })),
    ];
  });
  const ticks = [0, 0.5, 1].map((x) =>
    draw("text", { x: across(x), y: height - 4, class: "tick", "text-anchor": "middle" }, `${x}`),
  );
  const range = (values) => `${compact(values.at(-1))} to ${compact(values[0])}`;
  const text =
    "Muon sets all singular values of the step to about 1, so that every direction moves alike. " +
    `They go from ${range(rows[0])} before the first iteration to ${range(rows.at(-1))} after the last.`;
  const image = picture(height, text, ...marks, ...ticks);
  return figure("Singular values along the iterations", image, text);
}
