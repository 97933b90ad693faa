// The text as the model reads it: the loss of each token, what it would have said, and why.

import { get } from "./api.js";
import { inside, makeAttention } from "./attention.js";
import { make } from "./dom.js";
import { exact, probability, rounded, tokenText } from "./format.js";
import { moveFocus, onKeys, sayFocused } from "./keys.js";
import { makePath } from "./path.js";
import { go, link, scene } from "./state.js";
import { makeWideTable } from "./wide_table.js";

const DIGITS = 3; // of probabilities and losses in tables

/**
 * Show the text of the address.
 * @param {HTMLElement} root
 * @param {import("./state.js").PageState & Record<string, string>} state
 * @param {any} info the folder
 * @param {AbortSignal} signal
 */
export async function show(root, state, info, signal) {
  const map = await get("map", scene(state), signal);
  const sequence = inside(state.sequence, map.tokens.length);
  const reading = await get("text", { ...scene(state), sequence }, signal);
  root.append(
    makePath([
      ...(state.step === undefined ? [] : [`step ${state.step}`]),
      "Text",
    ]),
    ...makeSequences(map.tokens, sequence),
    ...makeReading(reading, sequence),
    ...(await makeAttention(map, sequence, state, signal)),
    ...makeLens(reading),
  );
  sayFocused(root);
  onKeys((key) => {
    if (key === "Backspace") {
      go({ view: "map" });
      return true;
    }
    return moveFocus(/** @type {HTMLElement[]} */ ([...root.querySelectorAll("tbody tr")]), key);
  }, signal);
}

/** A choice of the sequence, if there are several. */
function makeSequences(sequences, chosen) {
  if (sequences.length < 2) return [];
  const options = sequences.map((tokens, i) => {
    const text = tokens.map((token) => (token.special ? "" : token.text)).join("");
    const words = text.length > 40 ? `${text.slice(0, 40)}…` : text;
    return make("option", { value: `${i}`, selected: i === chosen }, `sequence ${i}: ${words}`);
  });
  const select = make("select", { "data-focus": "sequence" }, ...options);
  select.addEventListener("change", () => go({ sequence: select.value }));
  return [make("label", { className: "text-choice" }, "Sequence of the batch ", select)];
}

/** The address of the probability of a token at a position of a sequence. */
const probabilityOf = (sequence, position, id) =>
  link({
    view: "number",
    tensor: "loss.probabilities",
    index: [sequence, position - 1, id].join(","),
    quantity: undefined,
    lead: undefined,
  });

/** The tokens, tinted by their loss, and what the model would have said at each position. */
function makeReading({ tokens, loss }, sequence) {
  const largest = Math.max(0, ...tokens.map((token) => Number(token.loss ?? 0)).filter(Number.isFinite));
  const rows = tokens.map((token, position) => makeRow(token, position, largest, sequence));
  const pieces = tokens.map((token, position) => {
    const button = make(
      "button",
      { type: "button", className: "piece tinted", title: `token ${position}${lossText(token)}` },
      tokenText(token),
    );
    tint(button, token.loss, largest);
    button.addEventListener("click", () => (rows[position].querySelector("a") ?? rows[position]).focus());
    return button;
  });
  const mark = tokens.find(({ special }) => special);
  const mean = link({ view: "number", tensor: "loss", index: "", quantity: undefined, lead: undefined });
  const head = ["", "token", "loss", "its p", "rank", "what the model would have said, with p"];
  return [
    make("h2", {}, "What it would have said"),
    make(
      "p",
      { className: "lead" },
      "The model reads from left to right and guesses each token from those before it. The stronger ",
      "the tint, the larger the loss of a token: −log p, where p is the probability that the model ",
      "gave to it. Rank 1: it was the first guess.",
      ...(mark ? [` ${tokenText(mark)} is one token and no text: it marks where a text begins or ends.`] : []),
    ),
    make("div", { className: "pieces" }, ...pieces),
    make(
      "p",
      { className: "hint text-key" },
      "loss 0 ",
      make("span", { className: "key-bar", role: "img", "aria-label": "from no tint to full tint" }),
      ` ${rounded(largest, DIGITS)} · mean `,
      make("a", { href: mean, title: exact(Number(loss)), "data-focus": "loss" }, rounded(Number(loss), 6)),
    ),
    makeWideTable("Tokens, with their loss and the likeliest tokens", head, rows),
  ];
}

const lossText = ({ loss }) => (loss === null ? "" : `, loss ${exact(Number(loss))}`);

function makeRow(token, position, largest, sequence) {
  const text = tokenText(token);
  const own = make("td", { className: "piece tinted" }, text);
  tint(own, token.loss, largest);
  const number = make("th", { scope: "row" }, `${position}`);
  if (token.probability === null) {
    return make("tr", { tabIndex: -1 }, number, own, make("td", { colSpan: 4 }, "where it begins"));
  }
  const p = Number(token.probability);
  const loss = token.loss === null ? "not counted" : rounded(Number(token.loss), DIGITS);
  const live = `token ${position} ${text}${lossText(token)}, probability ${exact(p)}, rank ${token.rank}`;
  const href = probabilityOf(sequence, position, token.id);
  const guesses = token.candidates.map((candidate) => {
    const likelihood = Number(candidate.probability);
    const words = `${tokenText(candidate)}, probability ${exact(likelihood)}`;
    return make(
      "a",
      {
        className: candidate.id === token.id ? "guess right" : "guess",
        href: probabilityOf(sequence, position, candidate.id),
        title: exact(likelihood),
        "data-live": words,
      },
      make("span", { className: "piece" }, tokenText(candidate)),
      ` ${probability(likelihood, DIGITS)}`,
    );
  });
  return make(
    "tr",
    {},
    number,
    own,
    make("td", { title: token.loss === null ? "" : exact(Number(token.loss)) }, loss),
    make(
      "td",
      {},
      make("a", { href, title: exact(p), "data-live": live, "data-focus": `token ${position}` }, probability(p, DIGITS)),
    ),
    make("td", {}, `${token.rank}`),
    make("td", { className: "guesses" }, ...guesses),
  );
}

/** What each layer would have said: the logit lens. */
function makeLens({ tokens }) {
  const read = tokens.map((token, position) => ({ ...token, position })).filter(({ lens }) => lens.length);
  if (!read.length) return [];
  const layers = read[0].lens.map((_, i) => (i ? `layer ${i - 1}` : "embeddings"));
  const rows = read.map((token) => {
    const cells = token.lens.map((best, i) => {
      const p = Number(token.lens_probabilities[i]);
      const cell = make(
        "td",
        {
          className: best.id === token.id ? "tinted right" : "tinted",
          title: `likeliest: ${tokenText(best)} ${exact(Number(best.probability))}; ${tokenText(token)} has ${exact(p)}`,
        },
        make("span", { className: "piece" }, tokenText(best)),
        ` ${probability(Number(best.probability), DIGITS)}`,
        ...(best.id === token.id ? [] : [`, ${tokenText(token)} ${probability(p, DIGITS)}`]),
      );
      tint(cell, p, 1);
      return cell;
    });
    const came = make("span", { className: "piece" }, tokenText(token));
    return make("tr", {}, make("th", { scope: "row" }, `${token.position} `, came), ...cells);
  });
  return [
    make("h2", {}, "What each layer would have said"),
    make(
      "p",
      { className: "lead" },
      "The logit lens: the residual stream after the embeddings and after each layer goes straight to ",
      "the output head. A cell shows the likeliest token there with its probability and, if another ",
      "one came (the row), that of the token that came. The last column is the model itself. Layers are numbered from 0.",
    ),
    makeWideTable("The logit lens", ["token that came", ...layers], rows),
  ];
}

/** Tint an element: `amount` of `maximum`. */
function tint(element, amount, maximum) {
  const ratio = amount === null || !maximum ? 0 : Number(amount) / maximum;
  element.style.setProperty("--ratio", `${Math.max(0, Math.min(1, ratio || 0))}`);
}
