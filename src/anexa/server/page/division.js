// A division on paper, in words and in digits. Its facts say what is brought down, which multiples
// of the divisor are tried, and what is left.

/** @typedef {import("./columns.js").ThoughtStep} ThoughtStep */
/** @typedef {import("./columns.js").Sentence} Sentence */

const MULTIPLE = /^(\d+)\*(\d)=(\d+)$/;
const BROUGHT_DOWN = /^[A-Z]:10\*(\d+)\+(\d)=(\d+)$/;
const COMPARED = /^(\d)([<=>])(\d)$/;
const SUBTRACTED = /^([01])(\d)-(\d)-([01])=(\d)$/;

/**
 * The facts of a division in words.
 * @param {string[]} facts
 * @returns {Sentence[]} facts of another format stand as they are
 */
export function explainDivision(facts) {
  return readParts(facts).map(({ text, facts: found }) => ({ text, facts: found }));
}

/**
 * A division as it is written on paper: the quotient above, then the dividend, and below it the
 * multiples that are subtracted and what is left.
 * @param {ThoughtStep} step
 * @returns {[string, string][]} class and text of each row
 */
export function divisionRows({ left, right, value, facts }) {
  const front = `${right} ) `;
  const end = front.length + left.length;
  const [quotient, remainder] = value.replace("-", "").split(" R ");
  /** @type {[string, string][]} */
  const rows = [
    ["quotient", quotient.padStart(end) + (remainder ? ` R ${remainder}` : "")],
    ["dividend", front + left],
  ];
  let column = front.length;
  let rest = ""; // what is left after a difference, to be shown with the digits after it
  for (const { partial, product, rest: now } of readParts(facts)) {
    if (partial !== undefined) {
      column += 1;
      if (rest) rest = partial;
    }
    if (product === undefined) continue;
    if (rest) rows.push(["", rest.padStart(column)]);
    rows.push(["", `−${product}`.padStart(column)]);
    rest = now;
  }
  if (rest) rows.push(["", rest.padStart(column)]);
  return rows;
}

/**
 * A sentence, and the numbers in it that are written on paper.
 * @typedef {Sentence & {partial?: string, product?: string, rest?: string}} Part
 *   partial: what is left with the next digit after it; product: the multiple that is subtracted
 *   from it; rest: what is left then.
 */

/** @returns {Part[]} */
function readParts(facts) {
  const parts = [];
  let at = 0;
  let partial;
  /** The next facts, as long as they are of a kind. */
  const take = (pattern, most = Infinity) => {
    const found = [];
    for (let match; found.length < most && (match = pattern.exec(facts[at] ?? "")); at++) found.push(match);
    return found;
  };
  const readNext = () => {
    const table = partial === undefined ? take(MULTIPLE) : [];
    if (table.length) return { text: table.map(multiply).join(", ") };
    const [brought] = take(BROUGHT_DOWN, 1);
    if (brought) {
      const verb = partial === undefined ? "begin with" : "bring down";
      const [, left, digit] = brought;
      partial = brought[3];
      return { text: `${verb} ${digit}${left === "0" ? "" : `: ${partial}`}`, partial };
    }
    const [tried] = take(MULTIPLE, 1);
    if (tried) return explainTried(tried, take(COMPARED), take(SUBTRACTED), partial);
    return { text: facts[at++] };
  };
  while (at < facts.length) {
    const first = at;
    const part = readNext();
    parts.push({ ...part, facts: Array.from({ length: at - first }, (_, i) => first + i) });
  }
  return parts;
}

const multiply = ([, divisor, digit, product]) => `${digit} × ${divisor} = ${product}`;

/** A multiple that is tried: it is too large, or subtracted. */
function explainTried(match, comparisons, columns, partial) {
  const [, divisor, digit, product] = match;
  if (comparisons.at(-1)?.[2] === ">") return { text: `${multiply(match)} is too large` };
  if (digit === "0" && BigInt(partial) < BigInt(divisor)) {
    return { text: `${partial} is less than ${divisor}: write 0, ${partial} left` };
  }
  if (!columns.length) return { text: multiply(match) };
  const rest = `${BigInt(columns.map((column) => column[5]).reverse().join(""))}`;
  const text = `${multiply(match)}, ${partial} − ${product} = ${rest}: write ${digit}, ${rest} left`;
  return { text, product, rest };
}
