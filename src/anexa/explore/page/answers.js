// The answers that the page was given: kept for a file that is saved, and read from a saved file.

const MAX_LENGTH = 20_000_000; // characters and bytes of all answers that are kept

/** Answers that are asked for once, and that every view needs. */
const LASTING = /^\/api\/(folders|steps)\?/;

/** Parts of a tensor: of those of the present view, the file has as many as there is room for. */
const PART = /^\/api\/window\?/;

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

/** What the present view has asked for. @type {Set<string>} */
let asked = new Set();

/** Begin to collect what a view asks for. */
export function beginView() {
  asked = new Set();
}

const lengthOf = (answer) => answer?.byteLength ?? answer?.length ?? 0;

/**
 * Remember an answer; the oldest are forgotten when there are too many.
 * @param {string} where - path and query, or the name of a job and its body
 * @param {string | ArrayBuffer} answer - JSON, or a file of tensors
 */
export function remember(where, answer) {
  forget(where);
  asked.add(where);
  answers.set(where, answer);
  length += lengthOf(answer);
  for (const oldest of answers.keys()) {
    if (length <= MAX_LENGTH) break;
    if (!LASTING.test(oldest)) forget(oldest);
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
 * The newest answers that fit into a number of bytes of JSON, those of the present view among them.
 * @param {number} bytes
 * @returns {Record<string, any>}
 * @throws {Error} if the answers of the present view alone have no room
 */
export function newest(bytes) {
  /** @type {Record<string, any>} */
  const found = {};
  let left = bytes;
  const isLasting = (/** @type {string} */ where) => Number(LASTING.test(where));
  const ordered = [...answers].reverse().sort(([a], [b]) => isLasting(b) - isLasting(a));
  for (const [where, answer] of ordered) {
    const text = typeof answer === "string" ? answer : `"${encode(answer)}"`;
    left -= new Blob([where, text]).size + 6 * (text.match(/</g)?.length ?? 0) + 20;
    if (left < 0) break;
    found[where] = JSON.parse(text);
  }
  if ([...asked].some((where) => !(where in found) && !PART.test(where))) {
    throw new Error("This view has more numbers than a file of 5 MB can hold: save that of a shorter text.");
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
