// Train: a small model of names learns before the user's eyes, and is opened at the end.

import { get } from "./api.js";
import { makeChart } from "./chart.js";
import { make } from "./dom.js";
import { count } from "./format.js";
import { listen } from "./keys.js";
import { makePath } from "./path.js";
import { lossSeries } from "./scrubber.js";
import { state } from "./state.js";
import { Task } from "./tasks.js";

/** What the training has reported so far. */
class Training {
  constructor() {
    this.task = new Task("train", {});
    /** @type {any[]} */
    this.records = [];
    /** @type {{step: number, text: string}[]} */
    this.samples = [];
    /** Whether the new model has been opened. */
    this.opened = false;
    this.task.onProgress = ({ records, samples }) => {
      this.records.push(...records);
      this.samples.push(...samples);
    };
  }
}

let training = new Training();

/**
 * Show the training, or the button that starts it.
 * @param {HTMLElement} root
 * @param {import("./state.js").PageState} _state
 * @param {any} _info the folder
 * @param {AbortSignal} signal
 */
export async function show(root, _state, _info, signal) {
  const { command, steps } = await get("trial", {}, signal);
  const body = make("div", { className: "part" });
  listen(root, signal);
  root.append(
    makePath(["Train"]),
    make("h2", {}, "Train a names model here"),
    make(
      "p",
      { className: "lead" },
      `A small model learns to write first names: ${count(steps)} steps, one name each, in a few seconds. `,
      "Every point of the curve is the loss of one name before the model learned from it. ",
      "All steps are kept, so you can go back to each of them.",
    ),
    make(
      "p",
      { className: "hint" },
      "The folder is temporary: it is removed when the program ends. To train the same model and keep it: ",
      make("code", {}, command),
    ),
    body,
  );
  const begin = () => {
    training = new Training();
    training.task.onChange = () => draw(body, steps, begin);
    training.task.start();
  };
  training.task.onChange = () => draw(body, steps, begin);
  draw(body, steps, begin);
}

function draw(body, steps, begin) {
  const { task, records, samples } = training;
  const isDone = task.result !== undefined;
  const parts = [];
  if (task.running) parts.push(makeProgress(task, records.length, steps));
  else if (isDone) parts.push(makeEnd(task.result, begin));
  else parts.push(makeStart(task, records.length, begin));
  if (records.length) {
    const label = "loss of each step of this training";
    parts.push(makeChart({ label, series: lossSeries(records), steps: [0, steps], table: isDone }).element);
  }
  if (samples.length) parts.push(makeSamples(samples));
  const focus = document.activeElement?.getAttribute("data-focus");
  body.replaceChildren(...parts);
  if (focus) body.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
  if (isDone && body.isConnected && !training.opened) open();
}

/** Go to the time of the new model. */
function open() {
  training.opened = true;
  window.dispatchEvent(new Event("folders"));
  if (state().view === "train") location.hash = `#/time?folder=${training.task.result.folder}`;
}

function makeStart(task, done, begin) {
  const button = make("button", { type: "button", className: "primary", "data-focus": "train" }, "Start training");
  button.addEventListener("click", begin);
  const said = task.error || (done ? `Canceled after step ${count(done)}.` : "");
  return make("div", { className: "running" }, button, make("span", { role: "alert" }, said));
}

function makeProgress(task, done, steps) {
  const cancel = make("button", { type: "button", className: "quiet", "data-focus": "train" }, "Cancel");
  cancel.addEventListener("click", () => task.cancel());
  const bar = make("progress", { max: steps, "aria-label": "Steps of the training" });
  if (done) bar.value = done;
  const text = done ? `step ${count(done)} of ${count(steps)}` : "starting";
  return make("div", { className: "running" }, bar, make("span", {}, text), cancel);
}

function makeEnd({ folder }, begin) {
  const time = make("a", { className: "button", href: `#/time?folder=${folder}`, "data-focus": "train" }, "Open the model");
  const restart = make("button", { type: "button", className: "quiet", "data-focus": "again" }, "Train another");
  restart.addEventListener("click", begin);
  return make("div", { className: "running" }, time, restart);
}

/** What the model wrote at steps of the training. */
function makeSamples(samples) {
  const items = samples.map(({ step, text }) =>
    make("li", {}, make("span", { className: "place" }, `${count(step)} `), text || "(an empty text)"),
  );
  return make(
    "section",
    { className: "part" },
    make("h3", {}, "What the model wrote after a step"),
    make("ol", { className: "written", "aria-live": "polite" }, ...items),
  );
}
