// A tensor: where it stands, its equation, and one matrix of its numbers as a grid.

import { get, getTensors } from "./api.js";
import { make } from "./dom.js";
import { exact, shapeText, tokenText } from "./format.js";
import { Grid } from "./grid.js";
import { makeKeysHint } from "./keys.js";
import { makePath } from "./path.js";
import { GRADIENT_SYMBOLS, NAMES, makeTabs } from "./quantities.js";
import { go, isCompared, link, scene, versus } from "./state.js";
import { Tiles } from "./tiles.js";

const TOKEN_AXES = ["token", "query", "key"];

/**
 * Show the tensor of the address.
 * @param {HTMLElement} root
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @param {AbortSignal} signal
 */
export async function show(root, state, info, signal) {
  const map = await get("map", scene(state), signal);
  const entry = map.tensors.find((tensor) => tensor.name === state.tensor);
  if (!entry) throw new Error(`This model has no tensor ${state.tensor}.`);
  const quantities = quantitiesOf(entry, state);
  const quantity = quantities.find((name) => name === state.quantity) ?? "value";
  const selection = selectionOf(entry, state);
  const { tokens } = entry.axes.includes("vocabulary")
    ? await get("vocabulary", { folder: state.folder }, signal)
    : { tokens: [] };
  const labels = new Labels(entry, map.tokens, tokens, selection.lead);
  const grid = makeGrid({ entry, state, quantity, quantities, selection, labels, signal });
  root.append(
    whereAmI(entry, labels, selection),
    makeTitle(entry, quantity),
    make(
      "div",
      { className: "controls" },
      makeTabs(quantities, quantity),
      ...selection.lead.map((_, axis) => makeSelector(entry, axis, selection, labels)),
    ),
    makeAxes(entry),
    grid.element,
    makeNeighbors(entry, map),
    makeKeysHint("arrows move in the picture, Enter opens a number, Backspace leads to the map, g to the gradients and back"),
  );
  await grid.start(signal);
}

/** The quantities that the numbers of a tensor have in this scene. */
function quantitiesOf({ quantities }, state) {
  return isCompared(state) ? [...quantities, "difference"] : quantities;
}

const numbers = (text) => (text ? `${text}`.split(",").map(Number) : []);

/**
 * The matrix and the cell that an address means; what lies outside of the tensor is 0.
 * @returns {{lead: number[], cursor: [number, number], rows: number, columns: number}}
 */
function selectionOf({ shape }, state) {
  const index = numbers(state.index);
  const leading = shape.slice(0, -2);
  const wanted = state.lead === undefined ? index : numbers(state.lead);
  const inside = (i, size) => (Number.isInteger(i) && i >= 0 && i < size ? i : 0);
  const [rows, columns] = [shape.at(-2) ?? 1, shape.at(-1) ?? 1];
  const own = index.length === shape.length ? index : [];
  return {
    lead: leading.map((size, axis) => inside(wanted[axis], size)),
    cursor: [inside(own.at(-2), rows), inside(own.at(-1), columns)],
    rows,
    columns,
  };
}

/** The names of the places along the axes of a tensor. */
class Labels {
  /**
   * @param {import("./flow.js").Entry} entry
   * @param {any[][]} sequences the tokens of each sequence of the scene
   * @param {any[]} vocabulary all tokens of the model, if an axis has an index for each
   * @param {number[]} lead
   */
  constructor({ axes, shape }, sequences, vocabulary, lead) {
    this.axes = shape.map((_, axis) => axes[axis] ?? `axis ${axis}`);
    const sequence = this.axes[0] === "sequence" ? (lead[0] ?? 0) : 0;
    this.tokens = sequences[sequence];
    this.vocabulary = vocabulary;
  }

  /** The text of the token at an index of an axis; empty if the axis has none. */
  token(axis, i) {
    const name = this.axes.at(axis) ?? "";
    const tokens = TOKEN_AXES.includes(name) ? this.tokens : name === "vocabulary" ? this.vocabulary : [];
    return tokens[i] ? tokenText(tokens[i]) : "";
  }

  /** An index in words, such as token 3 "r". */
  words(axis, i) {
    const text = this.token(axis, i);
    return `${this.axes.at(axis)} ${i}${text && ` “${text}”`}`;
  }

  /** An index at the edge of a grid. */
  short(axis, i) {
    const text = this.token(axis, i);
    return text ? `${text.length > 4 ? `${text.slice(0, 3)}…` : text} ${i}` : `${i}`;
  }
}

function makeGrid({ entry, state, quantity, quantities, selection, labels, signal }) {
  const fetchOf = (kind) => (level, top, left, height, width) =>
    fetchWindow({ entry, state, kind, selection }, { level, top, left, height, width }, signal);
  const other = quantity === "value" ? "gradient" : "value";
  const others = quantities.includes(other)
    ? new Tiles(fetchOf(other), selection.rows, selection.columns)
    : null;
  const isMatrix = entry.shape.length > 1;
  const indexOf = (row, column) => {
    const own = [[], [column], [row, column]][Math.min(2, entry.shape.length)];
    return [...selection.lead, ...own].join(",");
  };
  const where = (row, column) => {
    if (!entry.shape.length) return "number";
    return [isMatrix && labels.words(-2, row), labels.words(-1, column)].filter(Boolean).join(", ");
  };
  return new Grid({
    rows: selection.rows,
    columns: selection.columns,
    fetch: fetchOf(quantity),
    name: [entry.name, ...selection.lead.map((i, axis) => labels.words(axis, i)), NAMES[quantity]].join(
      ", ",
    ),
    rowLabel: (i) => (isMatrix ? labels.short(-2, i) : ""),
    columnLabel: (j) => (entry.shape.length ? labels.short(-1, j) : ""),
    where,
    describe: async (row, column, value) => {
      const own = `${NAMES[quantity]} ${exact(value)}`;
      if (!others) return own;
      return `${own}, ${other} ${exact(await others.wait(0, row, column, "values"))}`;
    },
    onEnter: (row, column) => {
      keep(indexOf(row, column));
      go({
        view: "number",
        tensor: entry.name,
        index: indexOf(row, column),
        quantity,
        lead: undefined,
      });
    },
    onUp: () => go({ view: "map", tensor: undefined, index: undefined, lead: undefined }),
    onGradient: (row, column) => {
      if (!others) return;
      go({ quantity: other, index: indexOf(row, column), lead: undefined });
    },
    cursor: selection.cursor,
  });
}

/** Keep the cell in the address of the tensor, for the way back. */
function keep(index) {
  history.replaceState(null, "", link({ index, lead: undefined }));
}

/** @returns {Promise<any>} a window as `tiles.js` describes it */
async function fetchWindow({ entry, state, kind, selection }, area, signal) {
  const parameters = {
    ...scene(state),
    ...(kind === "difference" ? versus(state) : {}),
    tensor: entry.name,
    quantity: kind,
    lead: selection.lead.length ? selection.lead.join(",") : undefined,
    ...area,
  };
  const found = await getTensors("window", parameters, signal);
  return Object.fromEntries([...found].map(([name, { data }]) => [name, data]));
}

// What stands around the grid

/** Where am I: map, layer, tensor, index. */
function whereAmI({ name, layer }, labels, { lead }) {
  return makePath([...(layer ? [layer] : []), name, ...lead.map((i, axis) => labels.words(axis, i))]);
}

function makeTitle({ name, title, equation, gradient_equation: gradient, kind }, quantity) {
  const isGradient = quantity === "gradient";
  const value = kind === "weight" ? "A weight: training changes it." : equation;
  return make(
    "div",
    { className: "title" },
    make("h2", { className: "number-name" }, name),
    make(
      "p",
      { className: "equation" },
      ...(isGradient ? [] : [make("span", { className: "operation" }, title), " "]),
      isGradient ? gradient : value,
    ),
    ...(isGradient && gradient ? [make("p", { className: "hint" }, GRADIENT_SYMBOLS)] : []),
  );
}

function makeSelector({ shape }, axis, { lead }, labels) {
  const options = Array.from({ length: shape[axis] }, (_, i) =>
    make("option", { value: `${i}`, selected: i === lead[axis] }, labels.words(axis, i)),
  );
  const select = make(
    "select",
    { "data-focus": `axis ${axis}`, disabled: shape[axis] === 1 },
    ...options,
  );
  select.addEventListener("change", () => {
    const changed = lead.map((i, at) => (at === axis ? select.value : i));
    go({ lead: changed.join(","), index: undefined });
  });
  return make(
    "label",
    {},
    make("span", { className: "visually-hidden" }, labels.axes[axis]),
    select,
  );
}

function makeAxes({ shape, axes }) {
  if (shape.length < 2)
    return make("p", { className: "axes" }, `${shapeText(shape)} ${axes[0] ?? ""}`);
  const text = `rows: ${axes.at(-2)} (${shape.at(-2)}) · columns: ${axes.at(-1)} (${shape.at(-1)})`;
  return make("p", { className: "axes" }, text);
}

/** Links to the tensors that this one is computed from, and to those computed from it. */
function makeNeighbors({ name, inputs }, { tensors }) {
  const users = tensors
    .filter((tensor) => tensor.inputs.includes(name))
    .map((tensor) => tensor.name);
  const list = (title, names) => {
    const links = names.map((one) =>
      make(
        "li",
        {},
        make(
          "a",
          {
            href: link({ view: "tensor", tensor: one, lead: undefined, index: undefined }),
            "data-focus": `to ${one}`,
          },
          one,
        ),
      ),
    );
    return make("section", {}, make("h3", {}, title), make("ul", {}, ...links));
  };
  return make(
    "div",
    { className: "neighbors" },
    ...(inputs.length ? [list("Computed from", inputs)] : []),
    ...(users.length ? [list("Used by", users)] : []),
  );
}
