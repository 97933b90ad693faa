// The conversation, the texts and the settings in the browser's local storage.

const CONVERSATION = "anexa.conversation";
const NOTEBOOK = "anexa.notebook";
const SETTINGS = "anexa.settings";

/**
 * A turn of the conversation.
 * @typedef {object} Turn
 * @property {"user" | "assistant"} role
 * @property {string} content
 * @property {string} [reasoning]
 * @property {string} [model] name of the model that answered
 * @property {number} [thinkingSeconds]
 * @property {number} [totalTokens] tokens of the conversation up to the end of this answer
 * @property {object} [check] response of POST /check
 * @property {number} [droppedTurns] turns that were dropped, as the context was full
 * @property {string} [error] why the answer is incomplete
 * @property {boolean} [open] whether the thought is shown
 * @property {boolean} [columns] whether the thought is shown as column arithmetic
 */

function read(name, fallback) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? fallback;
  } catch {
    return fallback; // damaged, or the browser allows no storage
  }
}

function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Full or not allowed: then the conversation is kept until the page is closed.
  }
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** @returns {Turn[]} */
export const loadTurns = () => {
  const turns = read(CONVERSATION, []);
  return Array.isArray(turns) ? turns.filter((turn) => turn && typeof turn.content === "string") : [];
};
/** @param {Turn[]} turns */
export const saveTurns = (turns) => write(CONVERSATION, turns);

/**
 * Load the text of a base model.
 * @param {string} model name of the model
 * @returns {import("./draft.js").Draft | null}
 */
export const loadDraft = (model) => {
  const draft = read(NOTEBOOK, {})[model];
  return isObject(draft) && typeof draft.text === "string" && areRanges(draft.generated) ? draft : null;
};
const areRanges = (ranges) =>
  Array.isArray(ranges) && ranges.every((range) => Array.isArray(range) && range.length === 2);

/**
 * @param {string} model name of the model
 * @param {import("./draft.js").Draft} draft
 */
export const saveDraft = (model, draft) => {
  const drafts = read(NOTEBOOK, {});
  write(NOTEBOOK, { ...(isObject(drafts) ? drafts : {}), [model]: draft });
};

/** @returns {Record<string, unknown>} */
export const loadSettings = () => {
  const settings = read(SETTINGS, {});
  return isObject(settings) ? settings : {};
};
/** @param {Record<string, unknown>} settings */
export const saveSettings = (settings) => write(SETTINGS, settings);

/**
 * Download a text as a file.
 * @param {string} name name of the file
 * @param {string} text
 * @param {string} type media type
 */
export function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
