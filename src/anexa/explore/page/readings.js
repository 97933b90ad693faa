// Two readings of a text side by side: the loss, that of each token, and what the model would have
// said instead.

import { make } from "./dom.js";
import { compact, exact, percent, tokenText } from "./format.js";
import { link } from "./state.js";
import { makeWideTable } from "./wide_table.js";

/**
 * A reading of the text.
 * @typedef {object} Side
 * @property {string} name - such as "before"
 * @property {any} reading - as /api/text describes it
 * @property {Partial<import("./state.js").PageState>} patch - leads from the address to its scene
 */

const NO_PLACE = { lead: undefined, quantity: undefined };

/**
 * Make the table of both losses, and the difference of the second from the first.
 * @param {Side} first
 * @param {Side} second
 * @returns {HTMLElement}
 */
export function makeLosses(first, second) {
  const [before, after] = [first, second].map(({ reading }) => Number(reading.loss));
  const change = after - before;
  const item = ({ name, patch }, loss) => {
    const href = link({ ...NO_PLACE, ...patch, view: "number", tensor: "loss", index: "" });
    const live = `loss ${name} ${exact(loss)}`;
    const number = make("a", { href, "data-focus": `loss ${name}`, "data-live": live }, exact(loss));
    return make("div", {}, make("dt", {}, `Loss ${name}`), make("dd", {}, number));
  };
  const words = `${change > 0 ? "+" : ""}${exact(change)}`;
  const last = make("div", {}, make("dt", {}, "Change"), make("dd", { className: signOf(change) }, words));
  return make("dl", { className: "losses" }, item(first, before), item(second, after), last);
}

/**
 * Make the table of all tokens that are predicted.
 * @param {Side} first
 * @param {Side} second
 * @returns {HTMLElement}
 */
export function makeTokens(first, second) {
  const same = countSame(first.reading.tokens, second.reading.tokens);
  const rows = pairs(first, second).map(([t, ...tokens]) => ({
    t,
    tokens,
    change: t < same ? tokens[1].loss - tokens[0].loss : NaN,
  }));
  const maximum = Math.max(0, ...rows.map(({ change }) => Math.abs(change) || 0));
  const sides = [first, second];
  const isSame = rows.every(({ t }) => t < same);
  const heads = [
    ...(isSame ? ["token"] : sides.map(({ name }) => `token ${name}`)),
    ...sides.map(({ name }) => `loss ${name}`),
    "change",
    ...sides.map(({ name }) => `likeliest ${name}`),
  ];
  const body = rows.map(({ t, tokens, change }) =>
    make(
      "tr",
      {},
      ...(isSame ? tokens.slice(0, 1) : tokens).map((token) => nameCell(token, t)),
      ...tokens.map((token, i) => lossCell(token, t, sides[i])),
      changeCell(change, maximum),
      ...tokens.map((token, i) => guessCell(token, t, sides[i], tokens[1 - i])),
    ),
  );
  const caption = "Each token, its loss, and the token that the model found likeliest at its place; ≠: the two differ";
  const note = isSame
    ? []
    : [make("p", { className: "hint" }, `The texts differ from token ${same} on: losses are compared up to there.`)];
  return make(
    "div",
    {},
    make("p", { className: "hint" }, `${caption}.`),
    ...note,
    makeWideTable(caption, heads, body, "readings"),
  );
}

/**
 * Count the tokens at the start that two readings share.
 * @param {any[]} first @param {any[]} second
 */
export function countSame(first, second) {
  const differs = first.findIndex(({ text }, t) => second[t]?.text !== text);
  return differs < 0 ? first.length : differs;
}

/** The positions whose tokens are predicted in at least one of the readings. */
function pairs(first, second) {
  const [a, b] = [first.reading.tokens, second.reading.tokens];
  const positions = Array.from({ length: Math.max(a.length, b.length) }, (_, t) => t);
  return positions
    .map((t) => [t, withNumbers(a[t]), withNumbers(b[t])])
    .filter(([, one, other]) => isPredicted(one) || isPredicted(other));
}

/** A token whose loss is a number, also where JSON has none for it. */
const withNumbers = (token) =>
  token && { ...token, loss: token.loss === null ? null : Number(token.loss) };

const isPredicted = (token) => token && token.loss !== null;

/** The class of a change: lower losses are blue, as negative numbers are everywhere. */
const signOf = (change) => (change < 0 ? "negative" : change > 0 ? "positive" : "");

function nameCell(token, t) {
  const text = token ? tokenText(token) : "";
  return make("th", { scope: "row" }, make("span", { className: "piece" }, text), make("span", { className: "place" }, ` ${t}`));
}

function lossCell(token, t, side) {
  if (!isPredicted(token)) return make("td");
  const live = `token ${t} ${tokenText(token)}, loss ${side.name} ${exact(token.loss)}`;
  return make("td", {}, probabilityLink(token.id, t, side, compact(token.loss), live, exact(token.loss)));
}

function changeCell(change, maximum) {
  if (Number.isNaN(change)) return make("td");
  const bar = make("span", { className: `bar ${signOf(change)}`, "aria-hidden": "true" });
  bar.style.width = `${maximum ? (3 * Math.abs(change)) / maximum : 0}rem`;
  const text = `${change > 0 ? "+" : ""}${compact(change)}`;
  return make("td", { className: "change", title: exact(change) }, bar, text);
}

function guessCell(token, t, side, other) {
  const best = token?.candidates?.[0];
  if (!best) return make("td");
  const isChanged = other?.candidates?.[0] && other.candidates[0].id !== best.id;
  const text = `${tokenText(best)} ${percent(Number(best.probability))} %`;
  const live = `likeliest ${side.name} ${tokenText(best)}, probability ${exact(Number(best.probability))}`;
  const anchor = probabilityLink(best.id, t, side, text, live, exact(Number(best.probability)));
  return make("td", { className: isChanged ? "changed" : "" }, anchor, ...(isChanged ? [" ≠"] : []));
}

/** A link to the probability of a token at a position, whose −log is its loss. */
function probabilityLink(id, t, { name, patch }, text, live, title) {
  const target = { tensor: "loss.probabilities", index: `0,${t - 1},${id}` };
  const href = link({ ...NO_PLACE, ...patch, view: "number", ...target });
  return make("a", { href, title, "data-live": live, "data-focus": `p ${name} ${t} ${id}` }, text);
}
