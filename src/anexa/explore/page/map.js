// The map: every tensor between the characters and the loss, as a picture of its numbers.

import { get, getTensors } from "./api.js";
import { darkScheme, drawKey, makeScale } from "./colors.js";
import { make } from "./dom.js";
import { compact, exact, shapeText, tokenText } from "./format.js";
import { arrange } from "./flow.js";
import { onKeys } from "./keys.js";
import { makeTabs } from "./quantities.js";
import { isCompared, link, scene, versus } from "./state.js";
import { draw } from "./tiles.js";

const TABS = { value: "Values", gradient: "Gradients", difference: "Differences" };
const SIDE = 96; // of a thumbnail, in CSS pixels
const MARGIN = "400px"; // around the window, within which thumbnails are drawn
const closed = new Set(); // layers that the user has folded
const opened = new Set(); // layers that the user has unfolded

/**
 * Show the architecture with the numbers of the text.
 * @param {HTMLElement} root
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @param {AbortSignal} signal
 */
export async function show(root, state, info, signal) {
  const quantities = Object.keys(TABS).filter((name) => name !== "difference" || isCompared(state));
  const quantity = quantities.find((name) => name === state.quantity) ?? "value";
  const [map, pictures] = await Promise.all([
    get("map", scene(state), signal),
    getTensors("thumbnails", { ...scene(state), ...(quantity === "difference" ? versus(state) : {}), quantity }, signal),
  ]);
  const paint = new Painter(pictures);
  const flow = arrange(map.tensors);
  const isLong = flow.layers.length > 2;
  const sections = flow.layers.map((layer, i) =>
    makeLayer(layer, isLong && i > 0, paint, quantity),
  );
  root.append(
    make(
      "p",
      { className: "lead" },
      "What the model computes, from the text to its loss. Each picture is a tensor: orange numbers are ",
      "positive, blue ones negative, and the strongest color is the largest magnitude in the picture (max). ",
      "Choose one to see its numbers.",
    ),
    makeHead(quantities, quantity, flow, root),
    make(
      "div",
      { className: "flow" },
      makeTokens(map.tokens),
      ...flow.before.map((part) => makePart(part, paint, quantity)),
      ...sections,
      ...flow.after.map((part) => makePart(part, paint, quantity)),
      makeLoss(map.loss, quantity),
    ),
  );
  darkScheme.addEventListener("change", () => paint.all(), { signal });
  onKeys((key) => {
    if (key === "g") location.hash = toggled(quantity);
    return key === "g";
  }, signal);
}

const toggled = (quantity) =>
  link({ view: "map", quantity: quantity === "value" ? "gradient" : undefined });

function makeHead(quantities, quantity, { layers }, root) {
  const fold = (open) => () => {
    for (const details of root.querySelectorAll("details.layer")) details.open = open;
  };
  const button = (text, open) =>
    make("button", { type: "button", className: "quiet", onclick: fold(open) }, text);
  const folding = layers.length ? [button("Unfold all", true), button("Fold all", false)] : [];
  return make(
    "div",
    { className: "view-head" },
    makeTabs(quantities, quantity, (name) => [TABS[name]]),
    make("span", { className: "tools" }, ...folding),
    makeKey(),
  );
}

/** The key of all pictures: each has its own largest magnitude. */
function makeKey() {
  const canvas = make("canvas", { className: "grid-key map-key" });
  const write = (x) => (x ? `${x < 0 ? "−" : ""}max` : "0");
  const draw = () => drawKey(canvas, { max: 1, rms: 1, special: false }, true, write);
  darkScheme.addEventListener("change", draw);
  draw();
  return canvas;
}

/** The tokens of each sequence, with their ids. */
function makeTokens(sequences) {
  const item = (token, i) =>
    make(
      "li",
      { className: token.special ? "special" : "", title: `token ${i}, id ${token.id}` },
      make("span", { className: "piece" }, tokenText(token)),
      make("span", { className: "place" }, `${token.id}`),
    );
  const list = (tokens, i) => {
    const label = sequences.length > 1 ? `Tokens of sequence ${i}` : "Tokens";
    return make("ol", { className: "tokens", "aria-label": label }, ...tokens.map(item));
  };
  return make("section", { className: "stop" }, make("h2", {}, "Text"), ...sequences.map(list));
}

function makeLoss(loss, quantity) {
  const number = loss === null ? "The text has no token to predict." : exact(loss);
  const target = { view: "number", tensor: "loss", index: "", quantity };
  const content =
    loss === null
      ? number
      : make("a", { href: link(target), className: "loss", "data-focus": "loss" }, number);
  return make("section", { className: "stop last" }, make("h2", {}, "Loss"), content);
}

/** One layer, which can be folded; folded, it shows what it adds to the residual stream. */
function makeLayer(layer, isFolded, paint, quantity) {
  const { name, parts } = layer;
  const outcome = parts.filter((part) => part.joint).map((part) => part.joint.tensor);
  const preview = make(
    "span",
    { className: "preview", "aria-hidden": "true" },
    ...outcome.map((tensor) => paint.make(tensor.name, 48)),
  );
  const details = make(
    "details",
    { className: "layer", open: opened.has(name) || (!isFolded && !closed.has(name)) },
    make("summary", { "data-focus": `layer ${name}` }, make("h2", {}, name), preview),
    ...parts.map((part) => makePart(part, paint, quantity)),
  );
  details.addEventListener("toggle", () => {
    (details.open ? opened : closed).add(name);
    (details.open ? closed : opened).delete(name);
  });
  return details;
}

/** A branch of the residual stream, row by row, and the joint where it comes back to the stream. */
function makePart({ rows, joint }, paint, quantity) {
  const branch = rows.map((row) =>
    make("div", { className: "flow-row" }, ...row.map((step) => makeStep(step, paint, quantity))),
  );
  const end = joint ? [make("div", { className: "joint" }, makeStep(joint, paint, quantity))] : [];
  return make(
    "div",
    { className: "part" },
    make("div", { className: "branch" }, ...branch),
    ...end,
  );
}

/** A tensor, with the weights that it was computed with. */
function makeStep({ tensor, weights }, paint, quantity) {
  return make(
    "div",
    { className: "step" },
    makeTensor(tensor, paint, quantity),
    ...weights.map((weight) => makeTensor(weight, paint, quantity)),
  );
}

function makeTensor(tensor, paint, quantity) {
  const { name, title, shape, layer, kind } = tensor;
  const short = layer && name.startsWith(`${layer}.`) ? name.slice(layer.length + 1) : name;
  const href = link({
    view: "tensor",
    tensor: name,
    quantity: quantity === "value" ? undefined : quantity,
    lead: undefined,
    index: undefined,
  });
  const picture = paint.make(name, SIDE);
  const caption = kind === "weight" ? shapeText(shape) : `${title} · ${shapeText(shape)}`;
  return make(
    "a",
    {
      href,
      className: `tensor ${kind}`,
      "data-focus": `tensor ${name}`,
      title: `${name}\n${tensor.equation}\nlargest ${paint.largest(name)}`,
    },
    make("span", { className: "frame" }, picture),
    make("span", { className: "name" }, ...breakable(short)),
    make("span", { className: "shape" }, caption),
  );
}

/** A name that may be broken behind its dots and underscores. */
const breakable = (name) => name.split(/(?<=[._])/).flatMap((part) => [part, make("wbr")]);

/** Draws thumbnails, and draws them again when the color scheme changes. */
class Painter {
  #pictures;
  #drawn = new Map(); // names by canvas
  #observer = new IntersectionObserver((entries) => this.#onSeen(entries), { rootMargin: MARGIN });

  /** @param {import("./safetensors.js").Tensors} pictures */
  constructor(pictures) {
    this.#pictures = pictures;
  }

  /** Draw the thumbnails that have come near the window: a map has hundreds. */
  #onSeen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      this.#observer.unobserve(target);
      this.#drawn.set(target, target.dataset.tensor);
      this.#paint(target, target.dataset.tensor);
    }
  }

  /** Make the canvas of a tensor that fits into a square of `side` CSS pixels. */
  make(name, side) {
    const extreme = this.#pictures.get(`${name}.extreme`);
    if (!extreme) return make("span", { className: "absent" }, "none");
    const [height, width] = [extreme.shape.at(-2) ?? 1, extreme.shape.at(-1) ?? 1];
    const zoom = Math.max(1, Math.floor(side / Math.max(height, width, side / 16)));
    const canvas = make("canvas", { className: "thumbnail", width, height, "data-tensor": name });
    const tall = Math.max(zoom, Math.min(4 * zoom, Math.floor(side / 8 / height))); // thin ones
    canvas.style.width = `${width * zoom}px`;
    canvas.style.height = `${height * tall}px`;
    this.#observer.observe(canvas);
    return canvas;
  }

  #paint(canvas, name) {
    const extreme = this.#pictures.get(`${name}.extreme`);
    const rms = this.#pictures.get(`${name}.rms`) ?? extreme;
    const scale = makeScale(extreme.data, rms.data);
    canvas.getContext("2d").drawImage(draw(extreme.data, canvas.width, canvas.height, scale), 0, 0);
  }

  /** Draw again what is drawn. */
  all() {
    for (const [canvas, name] of this.#drawn) this.#paint(canvas, name);
  }

  /** The largest magnitude of a tensor, as text. */
  largest(name) {
    const extreme = this.#pictures.get(`${name}.extreme`);
    return extreme ? compact(makeScale(extreme.data, extreme.data).max) : "unknown";
  }
}
