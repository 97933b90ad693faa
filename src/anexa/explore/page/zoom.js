// The zooms of a grid: sizes of a cell, and levels at which a cell stands for a block of numbers.

import { blocks } from "./tiles.js";

/**
 * A zoom.
 * @typedef {object} Zoom
 * @property {number} level a cell is a block of 2^level x 2^level numbers
 * @property {number} size of a cell, in CSS pixels
 */

const SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 40, 64];

/**
 * List the zooms of a matrix, the farthest first.
 * @param {number} rows @param {number} columns
 * @returns {Zoom[]}
 */
export function zoomSteps(rows, columns) {
  const steps = SIZES.map((size) => ({ level: 0, size }));
  for (let level = 1; Math.max(...blocks(rows, columns, level - 1)) > 128; level += 1) {
    steps.unshift({ level, size: 1 });
  }
  return steps;
}

/**
 * Choose the largest zoom at which the whole matrix is seen; a thin one is larger.
 * @param {Zoom[]} steps
 * @param {number} rows @param {number} columns of the matrix
 * @param {number} width @param {number} height of the room, in CSS pixels
 * @returns {Zoom}
 */
export function fittingZoom(steps, rows, columns, width, height) {
  const fits = ({ level, size }) => {
    const [down, across] = blocks(rows, columns, level);
    return down * size <= height && across * size <= width;
  };
  const whole = steps.findLast((zoom) => fits(zoom) && zoom.size <= 40) ?? steps[0];
  const isThin = whole.level === 0 && whole.size < 6 && rows * whole.size < 48;
  return isThin ? { level: 0, size: 6 } : whole; // its columns are scrolled
}

/**
 * Say which numbers a block has.
 * @param {number} row @param {number} column of one of its numbers
 * @param {number} rows @param {number} columns of the matrix
 * @param {number} level
 * @returns {string} such as rows 0 to 3, columns 8 to 11
 */
export function blockWords(row, column, rows, columns, level) {
  const span = (first, most) => {
    const start = (first >> level) << level;
    return `${start} to ${Math.min(most, start + 2 ** level) - 1}`;
  };
  return `rows ${span(row, rows)}, columns ${span(column, columns)}`;
}
