// The address of what is seen: `#/VIEW?key=value…`, so that every view can be sent and bookmarked.

/**
 * @typedef {Object} PageState
 * @property {string} view - name of the view
 * @property {string} [folder] - id of the model folder; absent: the first one
 * @property {string} [step] - training step of the weights; absent: the model in the folder
 * @property {string} [text] - text that the model reads
 * @property {string} [chat] - question that the model answers
 * @property {string} [batch] - "1": the training batch of the next step
 * @property {string[]} [edit] - switches
 * @property {string} [tensor]
 * @property {string} [index] - index of an element, such as "0,3,5"
 * @property {string} [lead] - index of the leading axes of a tensor
 * @property {string} [quantity] - "value", "gradient", …
 * @property {string} [sequence] - index of a sequence of a batch
 * @property {string} [layer] - index of a layer whose attention is shown
 * @property {string} [head] - index of an attention head
 * @property {string} [skipped] - training step that is left out in another training
 * @property {string} [versus_folder] - id of the folder that a difference is taken from
 * @property {string} [versus_step] - training step of its weights
 * @property {string} [versus_unedited] - "1": without the switches
 */

/** Keys that say what is computed; the others say what of it is shown. */
const SCENE_KEYS = ["folder", "step", "text", "chat", "batch", "edit"];

/** Keys that say what a difference is taken from. */
export const VERSUS_KEYS = ["versus_folder", "versus_step", "versus_unedited"];

/**
 * Parse an address.
 * @param {string} hash
 * @returns {PageState}
 */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const found = { view: path || "map" };
  for (const [key, value] of new URLSearchParams(query)) {
    if (key === "edit") found.edit = [...(found.edit ?? []), value];
    else found[key] = value;
  }
  return found;
}

/**
 * Write an address.
 * @param {PageState} wanted
 * @returns {string}
 */
export function write(wanted) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(wanted)) {
    if (key === "view" || value === undefined || value === null) continue;
    for (const one of Array.isArray(value) ? value : [value]) query.append(key, `${one}`);
  }
  const text = query.toString();
  return `#/${wanted.view}${text && `?${text}`}`;
}

/** The present state. @returns {PageState} */
export const state = () => parse(location.hash);

/**
 * The address with some keys changed; an undefined value removes a key.
 * @param {Partial<PageState>} patch
 */
export const link = (patch) => write({ ...state(), ...patch });

/**
 * Go to an address with some keys changed.
 * @param {Partial<PageState>} patch
 * @param {boolean} [replace] - whether the present address is not kept in the history
 */
export function go(patch, replace = false) {
  const address = link(patch);
  if (!replace) {
    location.hash = address;
    return;
  }
  history.replaceState(null, "", address);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

/**
 * Call a function after every change of the address.
 * @param {() => void} listener
 */
export function onChange(listener) {
  window.addEventListener("hashchange", listener);
}

/**
 * The part of a state that says what a difference is taken from.
 * @param {PageState} [from]
 */
export const versus = (from = state()) =>
  Object.fromEntries(VERSUS_KEYS.map((key) => [key, from[key]]));

/**
 * Whether a state says what a difference is taken from.
 * @param {PageState} [from]
 */
export const isCompared = (from = state()) => VERSUS_KEYS.some((key) => from[key] !== undefined);

/**
 * The part of a state that says what is computed.
 * @param {PageState} [from]
 */
export function scene(from = state()) {
  return Object.fromEntries(SCENE_KEYS.filter((key) => key in from).map((key) => [key, from[key]]));
}
