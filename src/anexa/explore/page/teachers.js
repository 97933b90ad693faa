// Teachers: how much each step and each document of the run changed the loss of the text.

import { makeChart, markStep } from "./chart.js";
import { make } from "./dom.js";
import { count, exact } from "./format.js";
import { listen } from "./keys.js";
import { makePath } from "./path.js";
import { link } from "./state.js";
import { makePanel, taskOf } from "./tasks.js";
import { makeWideTable } from "./wide_table.js";
import { makeWithout } from "./without.js";

const FEW = 5; // rows of a table until all are asked for

/**
 * Show who taught the text of the address.
 * @param {HTMLElement} root
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @param {AbortSignal} signal
 */
export async function show(root, state, info, signal) {
  listen(root, signal);
  root.append(makePath(["Teachers"]));
  const text = state.text ?? state.chat;
  if (!info.steps || text === undefined) {
    const reason = info.steps ? "type a text above: a training batch has no teachers of its own" : info.no_steps_reason;
    root.append(make("h2", {}, "Teachers"), make("p", {}, `Nothing to show: ${reason}.`));
    return;
  }
  root.append(
    make("h2", {}, `Who taught “${text}”?`),
    make(
      "p",
      { className: "lead" },
      "The training is repeated, and after each step the loss of your text is computed, in nats per token. ",
      "A step that lowers it has taught your text; a step that raises it has made your text less likely.",
    ),
    makeFollowing(state, info, (ledger) => drawLedger(ledger, state, info)),
  );
}

/** What a job is asked about the text of the address. */
const askedOf = (state, info) => ({ folder: info.id, text: state.text, chat: state.chat });

/**
 * Make the panel that follows the loss of the text through all steps.
 * @param {import("./state.js").PageState} state
 * @param {any} info the folder
 * @param {(ledger: any) => Node[]} draw - shows the ledger
 * @returns {HTMLElement}
 */
export function makeFollowing(state, info, draw) {
  const steps = count(info.steps.last - info.steps.first);
  const label = `Follow the loss of “${state.text ?? state.chat}” through ${steps} steps`;
  return makePanel(taskOf("teachers", askedOf(state, info)), label, draw);
}

/**
 * Draw the loss of the text after each step.
 * @param {any} ledger
 * @param {import("./state.js").PageState} state
 * @returns {HTMLElement}
 */
export function makeTextCurve({ first, last, loss, steps, losses }, state) {
  const curve = makeChart({
    label: "loss of the text",
    series: [{ name: "loss of your text after each step", kind: "line", x: [first, ...steps], y: [loss, ...losses] }],
    steps: [first, last],
  });
  markStep(curve, state.step);
  return curve.element;
}

function drawLedger(ledger, state, info) {
  const { steps, changes, first, last } = ledger;
  const asked = askedOf(state, info);
  const bars = makeChart({
    label: "change of the loss by each step",
    series: [{ name: "change of the loss by each step; below zero: the step taught your text", kind: "bars", x: steps, y: changes }],
    steps: [first, last],
  });
  markStep(bars, state.step);
  return [
    makeSum(ledger),
    make("div", { className: "charts" }, makeTextCurve(ledger, state), bars.element),
    ...makeWithout(state, info, asked),
    ...makeDocuments(ledger),
    makeSteps("Steps that lowered the loss most", ledger.helped, asked, info),
    makeSteps("Steps that raised the loss most", ledger.hurt, asked, info),
  ];
}

/** The sum of all changes, which is the last loss minus the first. */
function makeSum({ loss, losses, changes, first, last, total }) {
  const sum = changes.reduce((all, change) => all + change, 0);
  const rows = [
    [`loss after step ${count(last)}`, losses.at(-1)],
    [first ? `loss after step ${count(first)}` : "loss before the first step", loss],
    ["the last minus the first", total],
    [`sum of the ${count(changes.length)} changes`, sum],
  ];
  return make("dl", { className: "facts-list sum" }, ...factsOf(rows));
}

const factsOf = (rows) => rows.flatMap(([name, number]) => [make("dt", {}, name), make("dd", {}, exact(number))]);

/** The documents by what they taught, and how their sum comes to the change of the loss. */
function makeDocuments(ledger) {
  if (ledger.unshared) return [make("p", { className: "hint" }, ledger.unshared)];
  const { total, earlier, decay, rest, num_teachers } = ledger;
  const explained = make(
    "p",
    { className: "hint" },
    "Part of a step is the gradient of its own documents, and the larger part is momentum: the gradients of documents ",
    "before, which the optimizer remembers. So a document is given its share of its own step and of those after it.",
  );
  const rows = [
    [`shares of all ${count(num_teachers)} documents`, total - earlier - decay - rest],
    ["momentum of no document in this list", earlier],
    ["weight decay", decay],
    ["rest: the curve of the loss between two gradients, and rounding", rest],
    ["sum: the last loss minus the first", total],
  ];
  return [
    makeTeachers("Documents that taught it most", ledger.teachers),
    makeTeachers("Documents that misled it most", ledger.misleading),
    make("section", { className: "part" }, make("h3", {}, "All documents together"), explained, make("dl", { className: "facts-list" }, ...factsOf(rows))),
  ];
}

function makeTeachers(title, teachers) {
  const rows = teachers.map(({ document, steps, change }, i) => [
    `${i + 1}`,
    makeText(document),
    makeStepLinks(steps),
    exact(change),
  ]);
  return makeTable(title, ["", "document", "trained in step", "share of the change"], rows);
}

function makeSteps(title, entries, asked, info) {
  const rows = entries.map(({ step, change, documents, shares }) => [
    makeStepLinks([step]),
    makeTexts(documents),
    exact(change),
    shares ? exact(shares.documents.reduce((sum, share) => sum + share, 0)) : "",
    shares ? exact(shares.momentum) : "",
    makeSkip(step, asked, info),
  ]);
  return makeTable(title, ["step", "its documents", "change of the loss", "by its documents", "by momentum", ""], rows);
}

/** A button that trains again without a step. */
function makeSkip(step, asked, info) {
  const href = link({ skipped: `${step}` });
  const button = make("a", { className: "button", href, "data-focus": `without ${step}` }, "train again without it");
  button.setAttribute("aria-label", `train again without step ${step}`);
  button.addEventListener("click", () => taskOf("without", { ...asked, skipped: step, last: info.steps.last }).start());
  return button;
}

function makeText(text) {
  const href = link({ view: "text", text, chat: undefined, batch: undefined });
  return make("a", { href, "data-focus": `text ${text}` }, text || "(an empty text)");
}

const MOST = 4; // documents or steps that are named in a cell

function makeTexts(documents) {
  const links = documents.slice(0, MOST).map(makeText);
  return several(links, documents.length);
}

function makeStepLinks(steps) {
  const links = steps.slice(0, MOST).map((step) => {
    const href = link({ view: "time", step: `${step}`, tensor: undefined, index: undefined });
    return make("a", { href, "data-focus": `step ${step}` }, count(step));
  });
  return several(links, steps.length);
}

function several(links, total) {
  const parts = links.flatMap((one, i) => (i ? [", ", one] : [one]));
  return make("span", {}, ...parts, total > links.length ? ` and ${count(total - links.length)} more` : "");
}

/** A table that shows its first rows, and the others when asked. */
function makeTable(title, names, rows) {
  const section = make("section", { className: "part ledger" }, make("h3", {}, title));
  if (!rows.length) {
    section.append(make("p", { className: "hint" }, "There are none."));
    return section;
  }
  const body = rows.map((cells, i) =>
    make("tr", { hidden: i >= FEW }, ...cells.map((cell) => make("td", {}, cell))),
  );
  section.append(makeWideTable(title, names, body));
  if (rows.length > FEW) {
    const more = make("button", { type: "button", className: "quiet" }, `Show ${rows.length}`);
    more.addEventListener("click", () => {
      for (const row of body) row.hidden = false;
      more.remove();
    });
    section.append(more);
  }
  return section;
}
