// Signed colors: blue is negative, orange is positive, zero is the ground of the page.

import { compact } from "./format.js";

/**
 * A scale from numbers to strengths of color.
 * @typedef {object} Scale
 * @property {number} max largest finite magnitude
 * @property {number} rms root mean square of the finite numbers, where the scale turns from linear
 *     to logarithmic
 * @property {boolean} special whether there is a NaN or an infinity
 */

const STOPS = {
  light: { ground: "#fbfbf9", blue: ["#5b9bd5", "#083b7a"], orange: ["#f0913a", "#8a3a00"] },
  dark: { ground: "#171816", blue: ["#2f6fb5", "#a5d0ff"], orange: ["#c0661a", "#ffc58a"] },
};
const STEPS = 255; // colors on either side of zero
const palettes = new Map();

export const darkScheme = matchMedia("(prefers-color-scheme: dark)");

/**
 * Make the scale of some numbers.
 * @param {Iterable<number>} extremes numbers, or the largest of each block of numbers
 * @param {Iterable<number>} squares root mean squares of equally many numbers each
 * @returns {Scale} scale; what is not finite has no part in it
 */
export function makeScale(extremes, squares) {
  let max = 0;
  let special = false;
  for (const x of extremes) {
    if (Number.isFinite(x)) max = Math.max(max, Math.abs(x));
    else special = true;
  }
  let sum = 0;
  let n = 0;
  for (const x of squares) {
    if (!Number.isFinite(x) || !max) continue;
    sum += (x / max) ** 2; // at most 1: no square overflows or vanishes
    n += 1;
  }
  return { max, rms: n && sum ? max * Math.sqrt(sum / n) : max, special };
}

/**
 * Compute the strength of the color of a number: asinh(x / rms) / asinh(max / rms).
 * @param {Scale} scale
 * @param {number} x
 * @returns {number} −1 to 1
 */
export function strength({ max, rms }, x) {
  if (!max) return 0;
  return Math.max(-1, Math.min(1, Math.asinh(x / rms) / Math.asinh(max / rms)));
}

/**
 * The colors of a scheme, as the pixels of an image.
 * @typedef {object} Palette
 * @property {Uint32Array} signed from −1 to 1
 * @property {Uint32Array} plain from 0 to 1, for magnitudes without a sign
 * @property {number} ground color of zero
 * @property {string} ink color of text on weak colors
 * @property {string} inverse color of text on strong colors
 * @property {string} line color of lines between cells
 * @property {string} gray color of labels
 * @property {string} accent color of the cursor
 */

/**
 * Return the palette of the scheme in use.
 * @returns {Palette}
 */
export function palette() {
  const name = darkScheme.matches ? "dark" : "light";
  if (!palettes.has(name)) palettes.set(name, makePalette(name));
  return palettes.get(name);
}

function makePalette(name) {
  const { ground, blue, orange } = STOPS[name];
  const dark = name === "dark";
  const ink = dark ? "#e8e9e5" : "#1d1f1c";
  const signed = new Uint32Array(2 * STEPS + 1);
  const plain = new Uint32Array(STEPS + 1);
  for (let i = 0; i <= STEPS; i += 1) {
    signed[STEPS - i] = pixel(between([ground, ...blue], i / STEPS));
    signed[STEPS + i] = pixel(between([ground, ...orange], i / STEPS));
    plain[i] = pixel(between([ground, ink], 0.85 * (i / STEPS)));
  }
  return {
    signed,
    plain,
    ground: signed[STEPS],
    ink,
    inverse: ground,
    line: dark ? "#373a35" : "#dcded8",
    gray: dark ? "#a3a89f" : "#5f645d",
    accent: dark ? "#6fc0a9" : "#2f6f5e",
  };
}

/**
 * Paint numbers as pixels, one pixel a number.
 * What is not finite is a chequer: of blue (−∞), orange (∞) or ink (NaN) and the ground.
 * @param {Uint32Array} pixels as many as numbers
 * @param {ArrayLike<number>} numbers row by row
 * @param {number} width length of a row
 * @param {Scale} scale
 * @param {boolean} isSigned false for magnitudes without a sign
 */
export function paint(pixels, numbers, width, scale, isSigned) {
  const colors = palette();
  const table = isSigned ? colors.signed : colors.plain;
  const middle = isSigned ? STEPS : 0;
  const unit = scale.max ? STEPS / Math.asinh(scale.max / scale.rms) : 0;
  for (let i = 0; i < pixels.length; i += 1) {
    const x = numbers[i];
    if (Number.isFinite(x)) {
      const step = Math.round(unit * Math.asinh(x / scale.rms)) || 0;
      pixels[i] = table[middle + Math.max(-middle, Math.min(STEPS, step))];
    } else {
      const isGround = ((i % width) + Math.floor(i / width)) % 2;
      pixels[i] = isGround ? colors.ground : specialColor(colors, x);
    }
  }
}

const specialColor = (colors, x) => {
  if (Number.isNaN(x)) return colors.plain[STEPS];
  return colors.signed[x < 0 ? (STEPS / 3) | 0 : 2 * STEPS - ((STEPS / 3) | 0)];
};

/**
 * Draw the glyph of a number that is not finite: a cross for NaN, a falling line for −∞, a rising
 * one for ∞.
 * @param {CanvasRenderingContext2D} context
 * @param {number} x NaN, Infinity or -Infinity
 * @param {number} left @param {number} top @param {number} size of the cell, in pixels
 */
export function drawGlyph(context, x, left, top, size) {
  const colors = palette();
  context.fillStyle = css(colors.ground);
  context.fillRect(left, top, size, size);
  context.strokeStyle = css(specialColor(colors, x));
  context.lineWidth = Math.max(1, size / 12);
  const [near, far] = [0.2 * size, 0.8 * size];
  context.beginPath();
  if (!(x > 0)) {
    context.moveTo(left + near, top + near);
    context.lineTo(left + far, top + far);
  }
  if (!(x < 0)) {
    context.moveTo(left + near, top + far);
    context.lineTo(left + far, top + near);
  }
  context.stroke();
}

/**
 * Draw the key of a scale: its colors, with numbers at ±max, ±rms and zero.
 * @param {HTMLCanvasElement} canvas as wide as its style says; its label is set, too
 * @param {Scale} scale
 * @param {boolean} [isSigned] false for magnitudes without a sign
 * @param {(x: number) => string} [write] writes the numbers
 */
export function drawKey(canvas, scale, isSigned = true, write = keyText) {
  const ratio = devicePixelRatio;
  const [width, height, bar, margin] = [canvas.clientWidth || 280, 30, 10, 26];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const colors = palette();
  const table = isSigned ? colors.signed : colors.plain;
  context.scale(ratio, ratio);
  const span = width - 2 * margin - (scale.special ? 112 : 0);
  for (let i = 0; i < span; i += 1) {
    context.fillStyle = css(table[Math.round((i / (span - 1)) * (table.length - 1))]);
    context.fillRect(margin + i, 0, 1.5, bar);
  }
  context.strokeStyle = colors.line;
  context.strokeRect(margin - 0.5, 0.5, span + 1, bar);
  context.font = "11px ui-monospace, 'DejaVu Sans Mono', monospace";
  context.textAlign = "center";
  const ticks = keyTicks(scale, isSigned);
  let end = -Infinity; // of the text before
  for (const x of ticks) {
    const value = strength(scale, x);
    const at = margin + span * (isSigned ? (value + 1) / 2 : value);
    const text = write(x);
    const half = context.measureText(text).width / 2;
    if (at - half < end + 4) continue;
    end = at + half;
    context.fillStyle = colors.gray;
    context.fillRect(at - 0.5, bar, 1, 4);
    context.fillText(text, at, height - 4);
  }
  if (scale.special) drawSpecials(context, margin + span + 36, bar, colors);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Key of the colors: ${ticks.map(write).join(", ")}`);
}

const keyText = (x) => compact(x, x < 0 ? 7 : 6);

function keyTicks({ max, rms }, isSigned) {
  if (!max) return [0];
  const positive = rms < max ? [rms, max] : [max];
  return isSigned ? [...positive.map((x) => -x).reverse(), 0, ...positive] : [0, ...positive];
}

function drawSpecials(context, left, bar, colors) {
  for (const [i, x] of [NaN, -Infinity, Infinity].entries()) {
    drawGlyph(context, x, left + 34 * i, 0, bar);
    context.strokeStyle = colors.line;
    context.lineWidth = 1;
    context.strokeRect(left + 34 * i + 0.5, 0.5, bar - 1, bar - 1);
    context.fillStyle = colors.gray;
    context.fillText(compact(x), left + 34 * i + bar / 2, 26);
  }
}

// Mixing, in OKLab: equal steps look equal.

const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const encoded = (c) => (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055);

function toLab(color) {
  const [r, g, b] = [1, 3, 5].map((i) => linear(parseInt(color.slice(i, i + 2), 16) / 255));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

/** @param {number[]} color */
function fromLab([lightness, a, b]) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((c) => Math.round(255 * Math.max(0, Math.min(1, encoded(c)))));
}

function between(stops, position) {
  const i = Math.min(stops.length - 2, Math.floor(position * (stops.length - 1)));
  const fraction = position * (stops.length - 1) - i;
  const [from, to] = [toLab(stops[i]), toLab(stops[i + 1])];
  return fromLab(from.map((c, axis) => c + fraction * (to[axis] - c)));
}

/** @param {number[]} color red, green and blue, 0 to 255 */
const pixel = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/**
 * Write a pixel as a color of CSS.
 * @param {number} value pixel of a palette
 * @returns {string} text such as rgb(8 59 122)
 */
export const css = (value) => `rgb(${value & 255} ${(value >> 8) & 255} ${(value >> 16) & 255})`;
