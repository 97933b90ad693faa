// A matrix as colored cells: zoom, scrolling, a cursor for the keyboard, and a table to read.

import { GUTTER, drawCells } from "./cells.js";
import { darkScheme, drawKey } from "./colors.js";
import { exact } from "./format.js";
import { makeParts } from "./grid_parts.js";
import { makeTable } from "./table.js";
import { Tiles, blocks } from "./tiles.js";
import { blockWords, fittingZoom, zoomSteps } from "./zoom.js";

/**
 * What a grid shows, and whom it tells.
 * @typedef {object} GridOptions
 * @property {number} rows @property {number} columns
 * @property {import("./tiles.js").FetchWindow} fetch
 * @property {string} name of the matrix, for screen readers
 * @property {(i: number) => string} rowLabel short, for the edge
 * @property {(j: number) => string} columnLabel
 * @property {(row: number, column: number) => string} where a cell in words
 * @property {(row: number, column: number, value: number) => Promise<string>} describe the number
 *     of a cell in words
 * @property {(row: number, column: number) => void} onEnter one step down
 * @property {() => void} onUp one step up
 * @property {(row: number, column: number) => void} onGradient shows the other quantity
 * @property {[number, number]} cursor row and column at first
 */

/** @type {Map<string, import("./zoom.js").Zoom>} */
const zooms = new Map(); // the zoom of each matrix, kept while the page is open

/** A matrix as colored cells. */
export class Grid {
  #options;
  #tiles;
  /** @type {import("./colors.js").Scale} */
  #scale = { max: 0, rms: 1, special: false };
  #steps;
  #zoom;
  #isFitted = false; // before, the zoom is not chosen
  #mode = "extreme";
  #cursor;
  #frame = 0;
  #announcement = 0;

  /** @param {GridOptions} options */
  constructor(options) {
    this.#options = options;
    this.#cursor = options.cursor;
    const { rows, columns } = options;
    const redraw = () => this.#redraw();
    this.#tiles = new Tiles(options.fetch, rows, columns, redraw, (error) =>
      this.#say(error.message),
    );
    this.#steps = zoomSteps(rows, columns);
    [this.#zoom] = this.#steps;
    const parts = makeParts(options.name, {
      zoom: (by) => this.#step(by),
      toggleMode: () => this.#toggleMode(),
      toggleTable: () => this.#toggleTable(),
    });
    this.element = parts.element;
    this.view = parts.view;
    this.canvas = parts.canvas;
    this.spacer = parts.spacer;
    this.hover = parts.hover;
    this.key = parts.key;
    this.zoomText = parts.zoomText;
    this.modeButton = parts.modeButton;
    this.status = parts.status;
    this.table = parts.table;
    this.tableButton = parts.tableButton;
  }

  /**
   * Measure the matrix, and show it.
   * @param {AbortSignal} signal ends the grid
   */
  async start(signal) {
    this.#scale = await this.#tiles.scale();
    if (signal.aborted) return;
    const redraw = () => this.#redraw();
    const { view } = this;
    view.addEventListener("keydown", (event) => this.#press(event));
    view.addEventListener("scroll", redraw);
    view.addEventListener("focus", redraw);
    view.addEventListener("blur", redraw);
    view.addEventListener("pointermove", (event) => this.#point(event));
    view.addEventListener("pointerleave", () => this.#hide());
    view.addEventListener("click", (event) => this.#click(event));
    darkScheme.addEventListener("change", () => this.#resize(), { signal });
    const observer = new ResizeObserver(() => this.#fit());
    observer.observe(this.element); // it has a size as soon as it is in the page
    signal.addEventListener("abort", () => observer.disconnect());
  }

  /** Adapt to the width of the page; the first time, choose a zoom and show the cursor. */
  #fit() {
    if (!this.element.clientWidth) return;
    const isFirst = !this.#isFitted;
    this.#isFitted = true;
    if (isFirst) this.#zoom = zooms.get(this.#options.name) ?? this.#fitting();
    this.#resize();
    if (!isFirst) return;
    this.#reveal();
    this.#announce();
    const { activeElement } = document;
    if (activeElement?.matches("body, main")) this.view.focus({ preventScroll: true });
  }

  // Sizes

  #fitting() {
    const { rows, columns } = this.#options;
    const width = this.element.clientWidth - GUTTER.left;
    return fittingZoom(this.#steps, rows, columns, width, 0.6 * innerHeight - GUTTER.top);
  }

  /** Size of a cell in CSS pixels: whole pixels of the device. */
  get #cell() {
    return Math.max(1, Math.round(this.#zoom.size * devicePixelRatio)) / devicePixelRatio;
  }

  get #blocks() {
    return blocks(this.#options.rows, this.#options.columns, this.#zoom.level);
  }

  #resize() {
    const [rows, columns] = this.#blocks;
    const [width, height] = [GUTTER.left + columns * this.#cell, GUTTER.top + rows * this.#cell];
    const { view, spacer, canvas } = this;
    view.style.maxWidth = `${width + 4}px`;
    view.style.height = `${Math.min(height + 4, Math.max(160, 0.7 * innerHeight))}px`;
    [spacer.style.width, spacer.style.height] = [`${width}px`, `${height}px`];
    canvas.style.width = `${Math.min(view.clientWidth, width + 4)}px`;
    canvas.style.height = `${Math.min(view.clientHeight, height + 4)}px`;
    const { level, size } = this.#zoom;
    this.zoomText.textContent = level ? `1 : ${2 ** level}` : `${size} px`;
    this.modeButton.hidden = level === 0;
    const isRms = this.#mode === "rms";
    this.modeButton.textContent = isRms ? "Root mean square" : "Extreme";
    this.modeButton.title = isRms
      ? "Show the number of the largest magnitude of each block"
      : "Show the root mean square of each block";
    drawKey(this.key, this.#scale, this.#shown !== "rms");
    this.#redraw();
    this.#fillTable();
  }

  get #shown() {
    return this.#zoom.level ? this.#mode : "values";
  }

  /** @returns {import("./cells.js").View} */
  #state() {
    const { level } = this.#zoom;
    const [rows, columns] = this.#blocks;
    const [row, column] = this.#cursor;
    const { view, canvas } = this;
    return {
      tiles: this.#tiles,
      scale: this.#scale,
      mode: this.#shown,
      level,
      rows,
      columns,
      cell: this.#cell,
      x: view.scrollLeft,
      y: view.scrollTop,
      width: parseFloat(canvas.style.width),
      height: parseFloat(canvas.style.height),
      cursor: [row >> level, column >> level],
      focused: document.activeElement === view,
      rowLabel: this.#options.rowLabel,
      columnLabel: this.#options.columnLabel,
    };
  }

  #redraw() {
    if (!this.#isFitted) return;
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => drawCells(this.canvas, this.#state()));
  }

  // Zoom and cursor

  #step(by) {
    const { level, size } = this.#zoom;
    const now = this.#steps.findIndex((step) => step.level === level && step.size === size);
    const next = this.#steps[now + by];
    if (!next) return;
    this.#zoom = next;
    zooms.set(this.#options.name, next);
    this.#resize();
    this.#reveal(true);
    this.#announce();
  }

  #toggleMode() {
    this.#mode = this.#mode === "rms" ? "extreme" : "rms";
    this.#resize();
    this.#announce();
  }

  #move(down, across) {
    const block = 2 ** this.#zoom.level;
    const limit = (x, maximum) => Math.max(0, Math.min(maximum - 1, x));
    const { rows, columns } = this.#options;
    const [row, column] = this.#cursor;
    this.#cursor = [limit(row + down * block, rows), limit(column + across * block, columns)];
    this.#reveal();
    this.#redraw();
    this.#announce();
  }

  /** Scroll so that the cursor is seen; to the center if `center`. */
  #reveal(center = false) {
    const { view } = this;
    const cell = this.#cell;
    const [row, column] = this.#state().cursor;
    const along = (position, offset, room) => {
      const start = position * cell;
      if (center) return start - (room - cell) / 2;
      return Math.min(start, Math.max(offset, start + cell - room));
    };
    view.scrollTo({
      left: along(column, view.scrollLeft, view.clientWidth - GUTTER.left),
      top: along(row, view.scrollTop, view.clientHeight - GUTTER.top),
      behavior: "instant",
    });
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor((this.view.clientHeight - GUTTER.top) / this.#cell) - 1);
    const { rows, columns } = this.#options;
    /** @type {Record<string, () => void>} */
    const actions = {
      ArrowUp: () => this.#move(-1, 0),
      ArrowDown: () => this.#move(1, 0),
      ArrowLeft: () => this.#move(0, -1),
      ArrowRight: () => this.#move(0, 1),
      PageUp: () => this.#move(-page, 0),
      PageDown: () => this.#move(page, 0),
      Home: () => this.#move(0, -columns),
      End: () => this.#move(0, columns),
      "+": () => this.#step(1),
      "=": () => this.#step(1),
      "-": () => this.#step(-1),
      Enter: () => this.#enter(),
      Backspace: () => this.#options.onUp(),
      g: () => this.#options.onGradient(...this.#cursor),
    };
    if (event.shiftKey && event.key === "Home") actions.Home = () => this.#move(-rows, 0);
    if (event.shiftKey && event.key === "End") actions.End = () => this.#move(rows, 0);
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** One step down: from a block to its numbers, from a number to where it comes from. */
  #enter() {
    if (!this.#zoom.level) {
      this.#options.onEnter(...this.#cursor);
      return;
    }
    this.#zoom = { level: 0, size: 8 };
    zooms.set(this.#options.name, this.#zoom);
    this.#resize();
    this.#reveal(true);
    this.#announce();
  }

  // Pointer

  /** Row and column of the number under the pointer, or null. */
  #under(event) {
    const { left, top } = this.view.getBoundingClientRect();
    const state = this.#state();
    const [x, y] = [event.clientX - left - GUTTER.left, event.clientY - top - GUTTER.top];
    const [row, column] = [(y + state.y) / state.cell, (x + state.x) / state.cell].map(Math.floor);
    const isInside = x >= 0 && y >= 0 && row < state.rows && column < state.columns;
    return isInside ? [row << state.level, column << state.level] : null;
  }

  #click(event) {
    const indices = this.#under(event);
    if (!indices) return;
    this.#cursor = /** @type {[number, number]} */ (indices);
    this.#enter();
  }

  #point(event) {
    const indices = event.pointerType === "mouse" ? this.#under(event) : null;
    if (!indices) {
      this.#hide();
      return;
    }
    const { level } = this.#zoom;
    const [row, column] = indices;
    const x = this.#tiles.at(level, row >> level, column >> level, this.#shown);
    const box = this.element.getBoundingClientRect();
    this.hover.textContent = `${this.#where(row, column)}: ${x === undefined ? "…" : exact(x)}`;
    this.hover.hidden = false;
    const maximum = box.width - this.hover.offsetWidth;
    this.hover.style.left = `${Math.max(0, Math.min(maximum, event.clientX - box.left + 14))}px`;
    this.hover.style.top = `${event.clientY - box.top + 18}px`;
  }

  #hide() {
    this.hover.hidden = true;
  }

  // Words

  #where(row, column) {
    const { level } = this.#zoom;
    const { rows, columns, where } = this.#options;
    if (!level) return where(row, column);
    const kind = this.#mode === "rms" ? "root mean square" : "extreme";
    return `${blockWords(row, column, rows, columns, level)}, ${kind}`;
  }

  /** Say where the cursor is and what is there, when it rests. */
  #announce() {
    clearTimeout(this.#announcement);
    this.#announcement = window.setTimeout(async () => {
      const [row, column] = this.#cursor;
      const { level } = this.#zoom;
      try {
        const x = await this.#tiles.wait(level, row >> level, column >> level, this.#shown);
        const text = level ? exact(x) : await this.#options.describe(row, column, x);
        if (this.#cursor[0] !== row || this.#cursor[1] !== column) return;
        this.#say(`${this.#where(row, column)}: ${text}`);
      } catch (error) {
        this.#say(/** @type {Error} */ (error).message);
      }
    }, 120);
  }

  #say(text) {
    this.status.textContent = text;
  }

  // Table

  #toggleTable() {
    this.table.hidden = !this.table.hidden;
    this.tableButton.setAttribute("aria-expanded", String(!this.table.hidden));
    this.#fillTable();
  }

  async #fillTable() {
    if (this.table.hidden) return;
    const { name } = this.#options;
    this.table.replaceChildren(await makeTable(name, this.#state()));
  }
}
