// The numbers of a matrix, fetched in tiles as they are needed, and painted once each.

import { darkScheme, makeScale, paint } from "./colors.js";

export const TILE = 128; // rows and columns of a tile
const MOST = 96; // tiles that are kept: 12 MB of numbers

/**
 * A window of a matrix: the numbers themselves at level 0; above, for each block of 2^level x
 * 2^level numbers, that of the largest magnitude and the root mean square.
 * @typedef {{values: ArrayLike<number>} |
 *     {extreme: ArrayLike<number>, rms: ArrayLike<number>}} Window
 * @typedef {(level: number, top: number, left: number, height: number, width: number) =>
 *     Promise<Window>} FetchWindow rows and columns are counted in blocks
 */

/**
 * A fetched tile.
 * @typedef {object} Tile
 * @property {number} height number of rows
 * @property {number} width number of columns
 * @property {Record<string, ArrayLike<number>>} numbers "values", or "extreme" and "rms"
 * @property {Map<string, HTMLCanvasElement>} pictures one pixel a number, by mode and scheme
 */

/** The tiles of a matrix. */
export class Tiles {
  #fetch;
  #tiles = new Map();
  #onLoad;
  #onError;

  /**
   * @param {FetchWindow} fetchWindow
   * @param {number} rows
   * @param {number} columns
   * @param {() => void} onLoad called when a tile has come
   * @param {(error: Error) => void} onError called when it has not
   */
  constructor(fetchWindow, rows, columns, onLoad = () => {}, onError = () => {}) {
    this.#fetch = fetchWindow;
    this.rows = rows;
    this.columns = columns;
    this.#onLoad = onLoad;
    this.#onError = onError;
  }

  /**
   * Return a tile, or start to fetch it.
   * @param {number} level @param {number} row @param {number} column counted in tiles
   * @returns {Tile | undefined}
   */
  get(level, row, column) {
    const key = `${level}/${row}/${column}`;
    const kept = this.#tiles.get(key);
    if (kept) {
      this.#tiles.delete(key); // to the end: tiles at the front are dropped first
      this.#tiles.set(key, kept);
      return kept.tile;
    }
    /** @type {{tile: Tile | undefined, coming: Promise<Tile>}} */
    const entry = { tile: undefined, coming: this.#load(level, row, column) };
    this.#tiles.set(key, entry);
    if (this.#tiles.size > MOST) this.#tiles.delete(this.#tiles.keys().next().value);
    entry.coming.then(
      (tile) => {
        entry.tile = tile;
        this.#onLoad();
      },
      (error) => {
        this.#tiles.delete(key);
        this.#onError(error);
      },
    );
    return undefined;
  }

  async #load(level, row, column) {
    const [rows, columns] = blocks(this.rows, this.columns, level);
    const height = Math.min(TILE, rows - row * TILE);
    const width = Math.min(TILE, columns - column * TILE);
    const numbers = await this.#fetch(level, row * TILE, column * TILE, height, width);
    return { height, width, numbers, pictures: new Map() };
  }

  /**
   * Return the number in a row and a column of a level, if its tile has come.
   * @param {number} level @param {number} row @param {number} column counted in blocks
   * @param {string} mode "values", "extreme" or "rms"
   * @returns {number | undefined}
   */
  at(level, row, column, mode) {
    const tile = this.get(level, Math.floor(row / TILE), Math.floor(column / TILE));
    return tile?.numbers[mode][(row % TILE) * tile.width + (column % TILE)];
  }

  /**
   * Wait for the number in a row and a column of a level.
   * @param {number} level @param {number} row @param {number} column counted in blocks
   * @param {string} mode "values", "extreme" or "rms"
   * @returns {Promise<number>}
   */
  async wait(level, row, column, mode) {
    const [i, j] = [Math.floor(row / TILE), Math.floor(column / TILE)];
    this.get(level, i, j);
    const tile = await this.#tiles.get(`${level}/${i}/${j}`).coming;
    return tile.numbers[mode][(row % TILE) * tile.width + (column % TILE)];
  }

  /**
   * Make the scale of the whole matrix from a level of at most 256 x 256 blocks; from the numbers
   * themselves if blocks with a NaN or an infinity hide the finite ones.
   * @returns {Promise<import("./colors.js").Scale>}
   */
  async scale() {
    let level = 0;
    while (Math.max(...blocks(this.rows, this.columns, level)) > 256) level += 1;
    const found = await this.#whole(level);
    const scale = makeScale(found.values ?? found.extreme, found.values ?? found.rms);
    if (!level || !scale.special || this.rows * this.columns > 2 ** 20) return scale;
    const { values } = await this.#whole(0);
    return makeScale(values, values);
  }

  #whole(level) {
    return this.#fetch(level, 0, 0, ...blocks(this.rows, this.columns, level));
  }
}

/**
 * Count the rows and columns of a level.
 * @param {number} rows @param {number} columns of the matrix
 * @param {number} level
 * @returns {[number, number]}
 */
export const blocks = (rows, columns, level) => [
  Math.ceil(rows / 2 ** level),
  Math.ceil(columns / 2 ** level),
];

/**
 * Return the picture of a tile, painted when it is first asked for.
 * @param {Tile} tile
 * @param {string} mode "values", "extreme" or "rms"
 * @param {import("./colors.js").Scale} scale
 * @returns {HTMLCanvasElement} one pixel a number
 */
export function picture(tile, mode, scale) {
  const key = `${mode} ${darkScheme.matches}`;
  if (!tile.pictures.has(key)) {
    const { width, height } = tile;
    tile.pictures.set(key, draw(tile.numbers[mode], width, height, scale, mode !== "rms"));
  }
  return /** @type {HTMLCanvasElement} */ (tile.pictures.get(key));
}

/**
 * Draw numbers on a canvas of their size, one pixel a number.
 * @param {ArrayLike<number>} numbers row by row
 * @param {number} width @param {number} height
 * @param {import("./colors.js").Scale} scale
 * @param {boolean} isSigned false for magnitudes without a sign
 * @returns {HTMLCanvasElement}
 */
export function draw(numbers, width, height, scale, isSigned = true) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  paint(new Uint32Array(image.data.buffer), numbers, width, scale, isSigned);
  context.putImageData(image, 0, 0);
  return canvas;
}
