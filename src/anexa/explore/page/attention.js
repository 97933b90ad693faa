// Attention: which tokens a head looks at.

import { getTensors } from "./api.js";
import { make } from "./dom.js";
import { exact, probability, tokenText } from "./format.js";
import { go, link, scene } from "./state.js";
import { makeWideTable } from "./wide_table.js";

const MOST_COLUMNS = 24; // keys in a table; of a longer text each row has its strongest keys
const STRONGEST = 5; // keys
const DIGITS = 2;

/**
 * Show the attention of one layer: the strongest key of each head, and all of one head.
 * @param {any} map as /api/map describes it
 * @param {number} sequence of the batch
 * @param {Record<string, any>} state
 * @param {AbortSignal} signal
 * @returns {Promise<HTMLElement[]>}
 */
export async function makeAttention(map, sequence, state, signal) {
  const patterns = map.tensors.filter(({ name }) => name.endsWith("attention.pattern"));
  if (!patterns.length) return [];
  const layer = inside(state.layer, patterns.length);
  const { name, shape } = patterns[layer];
  const numHeads = shape[1];
  const head = inside(state.head, numHeads);
  const tokens = map.tokens[sequence].slice(0, -1); // the last one is only predicted
  const heads = await Promise.all(
    range(numHeads).map((h) => readHead(name, sequence, h, tokens.length, state, signal)),
  );
  const pattern = { name, sequence, tokens };
  return [
    make("h2", {}, "Where each token looks"),
    make(
      "p",
      { className: "lead" },
      "Attention: each token (the query, a row) looks at itself and at the tokens before it (the keys). ",
      "P is the share of its attention that a key gets; the shares of a row add up to 1. Layers, heads ",
      "and tokens are numbered from 0.",
    ),
    make(
      "div",
      { className: "controls" },
      makeSelect("layer", patterns.length, layer),
      makeSelect("head", numHeads, head),
    ),
    make("h3", {}, `Layer ${layer}: the key that each head looks at most`),
    makeOverview(heads, head, pattern),
    make("h3", {}, `Layer ${layer}, head ${head}: ${isWide(tokens) ? "the strongest keys" : "all keys"}`),
    isWide(tokens) ? makeStrongest(heads[head], head, pattern) : makeMatrix(heads[head], head, pattern),
  ];
}

/**
 * Read a number of the address; what is none, or too large, is the nearest one that there is.
 * @param {string | undefined} text
 * @param {number} count of what is numbered, from 0
 */
export const inside = (text, count) => Math.max(0, Math.min(Math.trunc(Number(text)) || 0, count - 1));

const isWide = (tokens) => tokens.length > MOST_COLUMNS;
const range = (n) => Array.from({ length: n }, (_, i) => i);

/** Read P of one head: one row of keys for each query. @returns {Promise<number[][]>} */
async function readHead(tensor, sequence, head, count, state, signal) {
  const window = { tensor, lead: `${sequence},${head}`, level: 0, height: count, width: count };
  const found = await getTensors("window", { ...scene(state), ...window }, signal);
  const { data, shape } = /** @type {import("./safetensors.js").Tensor} */ (found.get("values"));
  return range(count).map((t) => Array.from(data.slice(t * shape[1], t * shape[1] + t + 1)));
}

function makeSelect(key, count, chosen) {
  const options = range(count).map((i) =>
    make("option", { value: `${i}`, selected: i === chosen }, `${key} ${i}`),
  );
  const select = make("select", { "data-focus": key, "aria-label": key, disabled: count === 1 }, ...options);
  select.addEventListener("change", () => go({ [key]: select.value }));
  return select;
}

/** A link to one P, tinted by it. */
function makeShare(p, head, query, key, { name, sequence, tokens }, ...before) {
  const href = link({
    view: "number",
    tensor: name,
    index: [sequence, head, query, key].join(","),
    quantity: undefined,
    lead: undefined,
  });
  const live =
    `head ${head}, token ${query} ${tokenText(tokens[query])} looks at token ${key} ` +
    `${tokenText(tokens[key])}: ${exact(p)}`;
  const anchor = make(
    "a",
    { className: "share", href, title: live, "data-live": live, "data-focus": `P ${head},${query},${key}` },
    ...before,
    probability(p, DIGITS),
  );
  anchor.style.setProperty("--ratio", `${Math.max(0, Math.min(1, p || 0))}`);
  return anchor;
}

const pieceOf = (tokens, i) => make("span", { className: "piece" }, tokenText(tokens[i]));
const rowHead = (tokens, i) => make("th", { scope: "row" }, `${i} `, pieceOf(tokens, i));

/** The keys of a query by their P, the largest first. */
const sorted = (row) => range(row.length).sort((a, b) => row[b] - row[a]);

function makeOverview(heads, chosen, pattern) {
  const { tokens } = pattern;
  const columns = heads.map((_, h) =>
    make(
      "th",
      { scope: "col", ...(h === chosen && { "aria-current": "true" }) },
      make("a", { href: link({ head: `${h}` }), "data-focus": `head ${h}` }, `head ${h}`),
    ),
  );
  const rows = tokens.map((_, t) =>
    make(
      "tr",
      {},
      rowHead(tokens, t),
      ...heads.map((rows_, h) => {
        const [key] = sorted(rows_[t]);
        const text = [pieceOf(tokens, key), make("span", { className: "key-place" }, `${key}`), " "];
        return make("td", {}, makeShare(rows_[t][key], h, t, key, pattern, ...text));
      }),
    ),
  );
  return makeWideTable("The strongest key of each head", ["token", ...columns], rows);
}

function makeMatrix(shares, head, pattern) {
  const { tokens } = pattern;
  const columns = tokens.map((_, s) =>
    make("th", { scope: "col" }, `${s} `, pieceOf(tokens, s)),
  );
  const rows = shares.map((row, t) => {
    const strongest = sorted(row)[0];
    const cells = row.map((p, s) =>
      make("td", { className: s === strongest ? "strongest" : "" }, makeShare(p, head, t, s, pattern)),
    );
    const later = tokens.slice(row.length).map(() => make("td", { className: "unseen" }));
    return make("tr", {}, rowHead(tokens, t), ...cells, ...later);
  });
  return makeWideTable(`Attention of head ${head}`, ["looks at", ...columns], rows);
}

function makeStrongest(shares, head, pattern) {
  const { tokens } = pattern;
  const rows = shares.map((row, t) => {
    const cells = sorted(row)
      .slice(0, STRONGEST)
      .map((s) => {
        const text = [pieceOf(tokens, s), make("span", { className: "key-place" }, `${s}`), " "];
        return make("td", {}, makeShare(row[s], head, t, s, pattern, ...text));
      });
    return make("tr", {}, rowHead(tokens, t), ...cells);
  });
  const columns = range(STRONGEST).map((i) => `${i + 1}.`);
  return makeWideTable(`Attention of head ${head}`, ["token", ...columns], rows);
}
