// Draws the visible cells of a grid: colors, lines, digits, glyphs, the labels of rows and columns.

import { css, drawGlyph, palette, strength } from "./colors.js";
import { compact } from "./format.js";
import { TILE, picture } from "./tiles.js";

/** Room for the labels of rows and columns, in CSS pixels. */
export const GUTTER = { left: 52, top: 22 };

const DIGITS = 40; // smallest cell with digits, in CSS pixels
const GLYPHS = 6; // smallest cell with the glyph of what is not finite
const LINES = 12; // smallest cell with lines around it
const FONT = "ui-monospace, 'SF Mono', 'DejaVu Sans Mono', monospace";

/**
 * What is visible.
 * @typedef {object} View
 * @property {import("./tiles.js").Tiles} tiles
 * @property {import("./colors.js").Scale} scale
 * @property {string} mode "values", "extreme" or "rms"
 * @property {number} level
 * @property {number} rows @property {number} columns of the level
 * @property {number} cell size of a cell in CSS pixels
 * @property {number} x @property {number} y how far the cells are scrolled, in CSS pixels
 * @property {number} width @property {number} height of the canvas in CSS pixels
 * @property {[number, number]} cursor row and column of the cursor, in cells of the level
 * @property {boolean} focused whether the grid has the focus
 * @property {(i: number) => string} rowLabel @property {(j: number) => string} columnLabel
 */

/**
 * Return the first row and column that are visible, and those behind the last.
 * @param {View} view
 * @returns {{top: number, left: number, bottom: number, right: number}}
 */
export function visible({ x, y, width, height, cell, rows, columns }) {
  return {
    top: Math.floor(y / cell),
    left: Math.floor(x / cell),
    bottom: Math.min(rows, Math.ceil((y + height - GUTTER.top) / cell)),
    right: Math.min(columns, Math.ceil((x + width - GUTTER.left) / cell)),
  };
}

/**
 * Draw what is visible.
 * @param {HTMLCanvasElement} canvas
 * @param {View} view
 */
export function drawCells(canvas, view) {
  const ratio = devicePixelRatio;
  const size = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
  if (canvas.width !== size[0]) canvas.width = size[0];
  if (canvas.height !== size[1]) canvas.height = size[1];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.imageSmoothingEnabled = false;
  context.clearRect(0, 0, size[0], size[1]);
  const area = visible(view);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawRowLabels(context, view, area);
  drawColumnLabels(context, view, area);
  context.beginPath();
  context.rect(GUTTER.left, GUTTER.top, view.width, view.height);
  context.save();
  context.clip();
  drawPictures(context, view, area, ratio);
  if (view.cell >= GLYPHS && view.scale.special) drawGlyphs(context, view, area);
  if (view.cell >= LINES) drawLines(context, view, area);
  if (view.cell >= DIGITS) drawDigits(context, view, area);
  drawCursor(context, view);
  context.restore();
}

const placeX = (view, column) => GUTTER.left + column * view.cell - view.x;
const placeY = (view, row) => GUTTER.top + row * view.cell - view.y;

/** Draw the tiles; their edges lie on whole pixels of the device, as `cell` and scrolling do. */
function drawPictures(context, view, area, ratio) {
  const { tiles, level, mode, scale, cell } = view;
  context.setTransform(1, 0, 0, 1, 0, 0);
  const snap = (length) => Math.round(length * ratio);
  for (let i = Math.floor(area.top / TILE); i * TILE < area.bottom; i += 1) {
    for (let j = Math.floor(area.left / TILE); j * TILE < area.right; j += 1) {
      const tile = tiles.get(level, i, j);
      const corner = [snap(placeX(view, j * TILE)), snap(placeY(view, i * TILE))];
      if (tile) {
        const size = [snap(tile.width * cell), snap(tile.height * cell)];
        context.drawImage(picture(tile, mode, scale), ...corner, ...size);
      }
    }
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
}

function drawLines(context, view, { top, left, bottom, right }) {
  context.strokeStyle = palette().line;
  context.lineWidth = 1 / devicePixelRatio;
  context.beginPath();
  for (let i = top; i <= bottom; i += 1) {
    context.moveTo(placeX(view, left), placeY(view, i));
    context.lineTo(placeX(view, right), placeY(view, i));
  }
  for (let j = left; j <= right; j += 1) {
    context.moveTo(placeX(view, j), placeY(view, top));
    context.lineTo(placeX(view, j), placeY(view, bottom));
  }
  context.stroke();
}

function drawGlyphs(context, view, area) {
  for (const { x, left, top } of numbersIn(view, area)) {
    if (!Number.isFinite(x)) drawGlyph(context, x, left, top, view.cell);
  }
}

function drawDigits(context, view, area) {
  const { cell, scale } = view;
  const colors = palette();
  context.font = `${cell < 64 ? 10 : 12}px ${FONT}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const room = Math.floor((cell - 8) / context.measureText("0").width);
  for (const { x, left, top } of numbersIn(view, area)) {
    if (!Number.isFinite(x)) continue; // its glyph is enough
    context.fillStyle = Math.abs(strength(scale, x)) < 0.55 ? colors.ink : colors.inverse;
    context.fillText(compact(x, room), left + cell / 2, top + cell / 2);
  }
}

/** Yield the visible numbers that have come, and where their cells are. */
function* numbersIn(view, { top, left, bottom, right }) {
  for (let i = top; i < bottom; i += 1) {
    for (let j = left; j < right; j += 1) {
      const x = view.tiles.at(view.level, i, j, view.mode);
      if (x !== undefined) yield { x, left: placeX(view, j), top: placeY(view, i) };
    }
  }
}

function drawCursor(context, view) {
  const [row, column] = view.cursor;
  const colors = palette();
  const [left, top, cell] = [placeX(view, column), placeY(view, row), view.cell];
  const margin = cell < 6 ? 2 : 0;
  const frame = [left - margin, top - margin, cell + 2 * margin, cell + 2 * margin];
  context.lineWidth = view.focused ? 4 : 3;
  context.strokeStyle = css(colors.ground);
  context.strokeRect(...frame);
  context.lineWidth = view.focused ? 2 : 1;
  context.strokeStyle = view.focused ? colors.accent : colors.ink;
  context.strokeRect(...frame);
}

/** Steps between labels so that each has its room: 1, 2, 5, 10, 20 … */
function labelStep(cell, room) {
  for (let power = 1; ; power *= 10) {
    for (const step of [power, 2 * power, 5 * power]) if (step * cell >= room) return step;
  }
}

function drawRowLabels(context, view, { top, bottom }) {
  const { cell, level } = view;
  const step = labelStep(cell, 13);
  context.save();
  context.beginPath();
  context.rect(0, GUTTER.top - 6, GUTTER.left, view.height);
  context.clip();
  context.font = `10px ${FONT}`;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let i = Math.ceil(top / step) * step; i < bottom; i += step) {
    const middle = placeY(view, i) + cell / 2;
    context.fillStyle = i === view.cursor[0] ? palette().accent : palette().gray;
    context.fillText(level ? `${i * 2 ** level}` : view.rowLabel(i), GUTTER.left - 6, middle);
  }
  context.restore();
}

function drawColumnLabels(context, view, { left, right }) {
  const { cell, level } = view;
  context.save();
  context.beginPath();
  context.rect(GUTTER.left - 8, 0, view.width, GUTTER.top);
  context.clip();
  context.font = `10px ${FONT}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const label = (j) => (level ? `${j * 2 ** level}` : view.columnLabel(j));
  const all = Array.from({ length: Math.max(0, right - left) }, (_, i) => label(left + i));
  const longest = context.measureText(
    all.reduce((a, b) => (b.length > a.length ? b : a), ""),
  ).width;
  const step = labelStep(cell, longest + 8);
  for (let j = Math.ceil(left / step) * step; j < right; j += step) {
    context.fillStyle = j === view.cursor[1] ? palette().accent : palette().gray;
    context.fillText(label(j), placeX(view, j) + cell / 2, GUTTER.top / 2);
  }
  context.restore();
}
