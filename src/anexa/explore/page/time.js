// Time: the loss curve as a scrubber under every view, and what a step of the run did.

import { get } from "./api.js";
import { make } from "./dom.js";
import { count, exact } from "./format.js";
import { listen } from "./keys.js";
import { makeLife } from "./life.js";
import { makePath } from "./path.js";
import { Scrubber } from "./scrubber.js";
import { link } from "./state.js";
import { makePanel, taskOf } from "./tasks.js";
import { makeFollowing, makeTextCurve } from "./teachers.js";

const NUM_TEXTS = 6; // that the model writes at a step
const SMALL = 100_000; // parameters up to which it writes without being asked

/** The scrubbers by folder. @type {Map<number, Promise<Scrubber>>} */
const scrubbers = new Map();

/**
 * Show the loss curve of a folder with the step of the address; large in the view Time.
 * @param {HTMLElement} footer
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @param {AbortSignal} signal - aborted when another address is shown
 */
export async function showTime(footer, state, info, signal) {
  const isTime = state.view === "time";
  // The view Time says itself why there are no steps, and the view Train is about another model.
  footer.hidden = state.view === "train" || (isTime && !info.steps);
  footer.classList.toggle("large", isTime && info.steps !== null);
  arrangeFooter(footer, isTime);
  if (!info.steps) {
    footer.replaceChildren(make("p", { className: "hint" }, info.no_steps_reason));
    return;
  }
  const scrubber = await scrubberOf(info);
  if (signal.aborted) return; // the footer belongs to another address
  if (scrubber.element.parentElement !== footer) footer.replaceChildren(scrubber.element);
  scrubber.update();
}

/**
 * The scrubber of a folder; its steps are loaded once.
 * @param {any} info the folder
 * @returns {Promise<Scrubber>}
 */
function scrubberOf(info) {
  const loading =
    scrubbers.get(info.id) ??
    get("steps", { folder: info.id }).then(({ records }) => new Scrubber(info, records));
  scrubbers.set(info.id, loading);
  loading.catch(() => scrubbers.delete(info.id)); // so that the next view tries again
  return loading;
}

/** Put the curve before the view or after it; it stays where it is while its handle moves. */
function arrangeFooter(footer, first) {
  const view = document.getElementById("view");
  if (!view) return;
  const isFirst = Boolean(view.compareDocumentPosition(footer) & Node.DOCUMENT_POSITION_PRECEDING);
  if (first && !isFirst) view.before(footer);
  else if (!first && isFirst) view.after(footer);
}

/**
 * Show what there is at the step of the address.
 * @param {HTMLElement} root
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @param {AbortSignal} signal
 */
export async function show(root, state, info, signal) {
  listen(root, signal);
  root.append(whereAmI(state), make("h2", {}, "The run, step by step"));
  if (!info.steps) {
    root.append(make("p", {}, `There is no time to go back to: ${info.no_steps_reason}.`));
    return;
  }
  root.append(
    make(
      "p",
      { className: "lead" },
      "Training changes the weights a little with every step. The curve has a point for each step: the loss of its ",
      "documents, just before the step learned from them. Low is good. Move the handle, and the whole page shows ",
      "the model as it was after that step: repeated by the run's own engine, and proven by the hash of its weights.",
    ),
  );
  if (state.tensor && state.index !== undefined) root.append(makeLife(state, info));
  const step = state.step === undefined ? undefined : Number(state.step);
  root.append(await makeStep(step, info, signal), makeTexts(step, state.edit, info, signal));
  if (state.text !== undefined) root.append(makeOwnText(state, info));
}

function whereAmI(state) {
  return makePath([
    ...(state.tensor
      ? [make("a", { href: link({ view: "number" }), "data-focus": "up" }, `${state.tensor}[${state.index ?? ""}]`)]
      : []),
    "Time",
  ]);
}

/** The numbers of a step, and the documents that it learned from. */
async function makeStep(step, info, signal) {
  const { first, last } = info.steps;
  if (step === undefined || step <= first || step > last) {
    const start = Math.min(last, first + 1);
    const text = step === first ? "No step of this run yet: these are its first weights. " : "Choose a step to see what it learned from. ";
    const example = make("a", { href: link({ step: `${start}` }), "data-focus": "first step" }, `Step ${start}`);
    return make("section", { className: "part" }, make("h3", {}, "A step"), make("p", {}, text, example));
  }
  const [{ records }, { documents }] = await Promise.all([
    get("steps", { folder: info.id }),
    get("documents", { folder: info.id, step }, signal),
  ]);
  const record = records.find((one) => one.step === step);
  const facts = [
    ["loss of its documents before it", exact(Number(record.loss))],
    ["learning rate", exact(Number(record.learning_rate))],
    ["gradient norm, before clipping", exact(Number(record.gradient_norm))],
    ["hash of the weights after it", record.weights_hash],
  ].flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]);
  const scene = { view: "map", step: `${step - 1}`, batch: "1", text: undefined, chat: undefined };
  return make(
    "section",
    { className: "part" },
    make("h3", {}, `Step ${count(step)}`),
    make("dl", { className: "facts-list" }, ...facts),
    make("p", {}, documents.length > 1 ? `It learned from these ${count(documents.length)} texts:` : "It learned from this text:"),
    makeDocuments(documents),
    make(
      "p",
      {},
      make("a", { href: link(scene), "data-focus": "batch" }, "See its documents and gradients, as the step used them"),
    ),
  );
}

/**
 * Make a list of documents; each leads to the view of its text.
 * @param {string[]} documents
 * @returns {HTMLElement}
 */
export function makeDocuments(documents) {
  const items = documents.map((text) => {
    const href = link({ view: "text", text, chat: undefined, batch: undefined });
    return make("li", {}, make("a", { href, "data-focus": `document ${text}` }, text || "(an empty text)"));
  });
  return make("ul", { className: "documents" }, ...items);
}

/** What the model writes with the weights of a step. */
function makeTexts(step, edit, info, signal) {
  const task = taskOf("write", { folder: info.id, step, edit, count: NUM_TEXTS });
  const draw = ({ after }) => [makeWritten(after)];
  const when = step === undefined ? "now" : `after step ${count(step)}`;
  if (info.num_parameters <= SMALL && !info.chat) {
    signal.addEventListener("abort", () => task.cancel());
    task.start();
  }
  return make(
    "section",
    { className: "part" },
    make("h3", {}, `What the model writes ${when}`),
    make("p", { className: "hint" }, "The same random numbers at every step: move the handle and see the texts grow."),
    makePanel(task, `Write ${NUM_TEXTS} texts`, draw),
  );
}

/**
 * Make a list of texts that a model wrote.
 * @param {string[]} texts
 * @returns {HTMLElement}
 */
export function makeWritten(texts) {
  const items = texts.map((text) => make("li", {}, text || "(an empty text)"));
  return make("ol", { className: "written" }, ...items);
}

/** The loss of the user's text over the steps. */
function makeOwnText(state, info) {
  const href = link({ view: "teachers" });
  return make(
    "section",
    { className: "part own-text" },
    make("h3", {}, `The loss of “${state.text}” over the steps`),
    makeFollowing(state, info, (ledger) => [makeTextCurve(ledger, state)]),
    make("a", { href, "data-focus": "teachers" }, "Which steps and documents taught it"),
  );
}
