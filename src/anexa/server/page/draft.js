// A text of which the user has written some parts, and a model the others.

/**
 * @typedef {object} Draft
 * @property {string} text
 * @property {[number, number][]} generated ranges of the text that the model has written, in order
 */

/** @type {Draft} */
export const EMPTY = { text: "", generated: [] };

/**
 * Add what the model has written to the end of a draft.
 * @param {Draft} draft
 * @param {string} continuation
 * @returns {Draft}
 */
export function extend({ text, generated }, continuation) {
  if (!continuation) return { text, generated };
  const end = text.length + continuation.length;
  const last = generated.at(-1);
  const ranges =
    last?.[1] === text.length
      ? [...generated.slice(0, -1), [last[0], end]]
      : [...generated, [text.length, end]];
  return { text: text + continuation, generated: ranges };
}

/**
 * Replace the text of a draft by the user's edited one; what the user has typed is the user's.
 * @param {Draft} draft
 * @param {string} text
 * @returns {Draft}
 */
export function edit({ text: before, generated }, text) {
  const shorter = Math.min(before.length, text.length);
  let start = 0;
  while (start < shorter && before[start] === text[start]) start += 1;
  let same = 0; // characters at the end
  while (same < shorter - start && before.at(-1 - same) === text.at(-1 - same)) same += 1;
  const end = before.length - same;
  const moved = text.length - before.length;
  const ranges = generated.flatMap(([from, to]) => [
    [from, Math.min(to, start)],
    [Math.max(from, end) + moved, to + moved],
  ]);
  return { text, generated: joined(ranges.filter(([from, to]) => from < to)) };
}

/** Join ranges that touch. */
function joined(ranges) {
  const result = [];
  for (const [from, to] of ranges) {
    if (result.at(-1)?.[1] === from) result.at(-1)[1] = to;
    else result.push([from, to]);
  }
  return result;
}

/**
 * Split a draft into the parts of the user and of the model.
 * @param {Draft} draft
 * @returns {{text: string, isGenerated: boolean}[]}
 */
export function parts({ text, generated }) {
  const result = [];
  let end = 0;
  for (const [from, to] of generated) {
    result.push({ text: text.slice(end, from), isGenerated: false });
    result.push({ text: text.slice(from, to), isGenerated: true });
    end = to;
  }
  result.push({ text: text.slice(end), isGenerated: false });
  return result.filter((part) => part.text);
}
