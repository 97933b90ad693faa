// A part of a line of a thought: where its digits come from, the heads that look there, and the
// model without them.

import { make } from "./dom.js";
import { compact, exact, probability, tokenText } from "./format.js";
import { link } from "./state.js";
import { makeWideTable } from "./wide_table.js";

const MOST_HEADS = 8; // that are shown at once
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const ROLES = {
  number: "digit of a number",
  first: "digit of the first number",
  second: "digit of the second number",
  carry: "carry",
  sum: "sum so far",
  remainder: "remainder so far",
  partial: "digit of the remainder with the next digit",
  multiple: "digit of a multiple of the divisor",
  result: "result",
};
/** What the forms of facts say, in words. */
const FORMS = /** @type {[RegExp, string][]} */ ([
  [/^[A-Z]:\d\+\d\+\d=\d\d$/, "digit + digit + carry = carry and digit"],
  [/^([A-Z]:)?\d\d?-\d-\d=\d$/, "digit (plus ten if it borrows) − digit − borrow = digit"],
  [/^([A-Z]:)?\d[<>=]\d$/, "two digits, compared: the first that differ say which number is larger"],
  [/^[A-Z]\d\*[a-z]\d\+\d+=\d+(;|$)/, "digit · digit + sum so far = new sum; after the last of a place, the digit of the place"],
  [/^[A-Z]:10\*\d+\+\d+=\d+$/, "ten times the remainder + next digit = what is divided now"],
  [/^\d+\*\d=\d+$/, "a multiple of the divisor"],
]);
const ZERO = "a zero in front of the number, which stands nowhere before.";
const NOWHERE = {
  number: ZERO,
  partial: ZERO,
  remainder: "nothing is left before the first digit.",
  multiple: "a zero: one in front of the number, or 0 times the divisor, which is not among its multiples.",
};

/** The letter of a source; after z comes aa. */
const letterOf = (i) => (i < LETTERS.length ? "" : letterOf(Math.floor(i / LETTERS.length) - 1)) + LETTERS[i % LETTERS.length];

/**
 * Find the tokens to mark for a part: each digit and its origins have the same letter.
 * @param {any} part
 * @returns {Map<number, {letters: string, isDigit: boolean}>} by token
 */
export function marksOf({ sources }) {
  const marks = new Map();
  sources.forEach(({ token, origins }, i) => {
    for (const at of [token, ...origins]) {
      const letters = `${marks.get(at)?.letters ?? ""}${letterOf(i)}`;
      marks.set(at, { letters, isDigit: at === token });
    }
  });
  return marks;
}

/**
 * Make what is shown of a part.
 * @param {any} view - the thought
 * @param {number} number - of the part
 * @param {import("./state.js").PageState} state
 * @param {string[]} patterns - names of the attention patterns of the layers, once they are known
 * @returns {HTMLElement[]}
 */
export function makePart(view, number, state, patterns) {
  const part = view.parts[number];
  const href = link({ view: "text", quantity: undefined });
  const loss = make("a", { href, title: exact(Number(part.loss)), "data-focus": "part loss" }, compact(Number(part.loss)));
  const form = part.kind === "fact" && FORMS.find(([pattern]) => pattern.test(part.text));
  const shown = [
    make("h3", { className: "equation" }, part.text),
    ...(form ? [make("p", { className: "hint" }, form[1])] : []),
    make("p", {}, "Its loss, the sum of that of its tokens, is ", loss, "."),
  ];
  if (!part.sources.length) {
    return [...shown, make("p", {}, "It has no digit that the checker can follow to a source.")];
  }
  return [
    ...shown,
    section(
      "Where its digits come from",
      make("p", { className: "hint" }, "A digit above and the places that it comes from have the same raised letter."),
      makeSources(view, part),
    ),
    section(
      "Heads that look there",
      make("p", { className: "hint" }, "How much of its attention each head (layer.head) gives to the sources when the digits are written, from 0 to 1."),
      ...makeHeads(part, state, patterns),
    ),
    section("Without a head", ...makeWithout(view, number, state)),
  ];
}

const section = (title, ...children) => make("section", {}, make("h3", {}, title), ...children);

function makeSources(view, { sources }) {
  const items = sources.map(({ role, token, origins }, i) =>
    make(
      "li",
      {},
      make("span", { className: "letter" }, letterOf(i)),
      ` ${tokenText(view.tokens[token])} (token ${token}), ${ROLES[role]}: `,
      origins.length
        ? `it stands before as ${origins.map((at) => placeOf(view, at)).join(" and ")}.`
        : (NOWHERE[role] ?? "it stands nowhere before."),
    ),
  );
  return make("ol", { className: "sources" }, ...items);
}

/** A token and where it stands, in words. */
function placeOf({ tokens, lines, num_prompt_tokens: prompt }, at) {
  const line = lines.findIndex(({ tokens: [first, stop] }) => at >= first && at < stop);
  const where = at < prompt ? "in the question" : line < 0 ? "in the answer" : `in line ${line + 1}`;
  return `${tokenText(tokens[at])} ${where} (token ${at})`;
}

function makeHeads(part, state, patterns) {
  const items = part.heads.map((head) => makeHead(head, part, state, patterns));
  const list = (some) => make("ol", { className: "head-bars" }, ...some);
  if (items.length <= MOST_HEADS) return [list(items)];
  const rest = items.slice(MOST_HEADS);
  const more = make("details", {}, make("summary", {}, `${rest.length} more heads`), list(rest));
  return [list(items.slice(0, MOST_HEADS)), more];
}

/** The attention of a head as a bar; its name leads to its attention pattern. */
function makeHead({ layer, head, mass, masses }, { sources }, state, patterns) {
  const name = `${layer}.${head}`;
  const bar = make("span", { className: "mass-bar", "aria-hidden": "true" });
  bar.style.width = `${100 * mass}%`;
  const each = masses.map((one, i) => `${letterOf(i)} ${probability(one, 2)}`).join(", ");
  return make(
    "li",
    {},
    patternLink({ layer, head }, sources, patterns, name),
    make("span", { className: "mass", title: exact(mass) }, probability(mass, 3)),
    make("span", { className: "mass-room" }, bar),
    make("span", { className: "each" }, each),
    switchLink(`head:${name}`, state, "heads"),
  );
}

function patternLink({ layer, head }, sources, patterns, name) {
  const live = `head ${head} of layer ${layer}`;
  const source = sources.find(({ origins }) => origins.length);
  if (!patterns[layer] || !source) return make("span", { className: "head-name" }, name);
  const index = [0, head, source.token - 1, source.origins.at(-1)].join(",");
  const href = link({ view: "tensor", tensor: patterns[layer], lead: undefined, index, quantity: undefined });
  return make("a", { href, className: "head-name", "data-live": live, "data-focus": `pattern ${name}` }, name);
}

/** A link that sets a switch, and stays at this part. */
function switchLink(edit, state, where) {
  const edits = state.edit ?? [];
  if (edits.includes(edit)) return make("span", { className: "hint" }, "is off");
  const href = link({ edit: [...edits, edit] });
  const name = edit.replace("head:", "");
  return make("a", { href, "aria-label": `turn off head ${name}`, "data-focus": `${where} ${edit}` }, "turn off");
}

/** What the part and the answer become without the strongest heads. */
function makeWithout(view, number, state) {
  if (!view.without.length) return [make("p", { className: "hint" }, "No head was switched off.")];
  const part = view.parts[number];
  const names = new Set(part.heads.slice(0, 3).map(({ layer, head }) => `head:${layer}.${head}`));
  const sorted = view.without.toSorted((a, b) => b.losses[number] - a.losses[number]);
  const rows = sorted.map((off) => {
    const loss = off.losses[number];
    return make(
      "tr",
      { className: names.has(off.edit) ? "strong" : "" },
      make("th", { scope: "row" }, `${off.layer}.${off.head}`),
      make("td", { title: exact(loss) }, compact(loss)),
      make("td", { className: "rewritten" }, ...makeWritten(view, off)),
      make("td", {}, switchLink(off.edit, state, "without")),
    );
  });
  return [
    make(
      "p",
      { className: "hint" },
      `The same tokens are read with one head off; with all heads the loss is ${compact(part.loss)}. `,
      "For some heads, the answer is what the model then writes; the heads strongest for this part are bold.",
    ),
    makeWideTable("The model without a head", ["head", "loss of the part", "answer", ""], rows),
  ];
}

function makeWritten(view, { written }) {
  if (!written) return ["not asked"];
  const [thought, answer] = written;
  if (thought === view.thought && answer === view.answer) return [`${answer} (the same thought)`];
  const words = answer === view.answer ? "another thought" : "another answer";
  const summary = make("summary", {}, `${answer || "none"} (${words})`);
  return [make("details", {}, summary, make("pre", {}, thought))];
}
