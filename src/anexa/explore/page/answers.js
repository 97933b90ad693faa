// The answers that the page was given: kept for a file that is saved, and read from a saved file.

const MAX_LENGTH = 20_000_000; // characters and bytes of all answers that are kept

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

/** Answers by path, the newest last: JSON as text, tensors as they came. */
const answers = /** @type {Map<string, string | ArrayBuffer>} */ (new Map());
let length = 0;

const lengthOf = (answer) => answer?.byteLength ?? answer?.length ?? 0;

/**
 * Remember an answer; the oldest are forgotten when there are too many.
 * @param {string} where - path and query, or the name of a job and its body
 * @param {string | ArrayBuffer} answer - JSON, or a file of tensors
 */
export function remember(where, answer) {
  forget(where);
  answers.set(where, answer);
  length += lengthOf(answer);
  for (const oldest of answers.keys()) {
    if (length <= MAX_LENGTH) break;
    forget(oldest);
  }
}

function forget(where) {
  length -= lengthOf(answers.get(where));
  answers.delete(where);
}

/**
 * The answer of a saved file, a file of tensors as base64; undefined if it is not there.
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
  for (const [where, answer] of [...answers].reverse()) {
    const text = typeof answer === "string" ? answer : `"${encode(answer)}"`;
    left -= new Blob([where, text]).size + 6 * (text.match(/</g)?.length ?? 0) + 20;
    if (left < 0) break;
    found[where] = JSON.parse(text);
  }
  return found;
}

/** Bytes as base64. */
function encode(content) {
  const bytes = new Uint8Array(content);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
}
