// The answers that the page was given: kept for a file that is saved, and read from a saved file.

const MAX_LENGTH = 20_000_000; // characters of all answers that are kept

/** What a saved file holds; null if a server is behind the page. */
const saved = readSaved();

function readSaved() {
  const element = document.getElementById("saved");
  if (!element) return null;
  const { hash, answers } = JSON.parse(element.textContent ?? "");
  return { hash, answers: new Map(Object.entries(answers)) };
}

/** Whether the page is a saved file, with the numbers of some views and no server. */
export const isSaved = saved !== null;

/** The address that a saved file begins with; empty if the page is none. */
export const savedHash = saved?.hash ?? "";

/** Answers by path, as JSON, the newest last. @type {Map<string, string>} */
const answers = new Map();
let length = 0;

/**
 * Remember an answer; the oldest are forgotten when there are too many.
 * @param {string} where - path and query, or the name of a job and its body
 * @param {any} answer - JSON as a value, tensors as base64
 */
export function remember(where, answer) {
  forget(where);
  const text = JSON.stringify(answer);
  answers.set(where, text);
  length += text.length;
  for (const oldest of answers.keys()) {
    if (length <= MAX_LENGTH) break;
    forget(oldest);
  }
}

function forget(where) {
  length -= answers.get(where)?.length ?? 0;
  answers.delete(where);
}

/**
 * The answer of a saved file; undefined if it is not there.
 * @param {string} where
 */
export const recall = (where) => saved?.answers.get(where);

/**
 * The newest answers that fit into a number of bytes of JSON.
 * @param {number} bytes
 * @returns {Record<string, any>}
 */
export function newest(bytes) {
  const found = {};
  let left = bytes;
  for (const [where, text] of [...answers].reverse()) {
    left -= new Blob([where, text]).size + 6 * (text.match(/</g)?.length ?? 0) + 20;
    if (left < 0) break;
    found[where] = JSON.parse(text);
  }
  return found;
}
