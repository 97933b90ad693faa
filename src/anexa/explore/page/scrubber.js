// The loss curve as a scrubber: a slider over the steps of a run, which sets the step of the address.

import { makeChart, runningMean } from "./chart.js";
import { make } from "./dom.js";
import { compact, count, exact } from "./format.js";
import { go, link, state } from "./state.js";

const MEAN = 50; // steps of the smoothed line
const PAUSE = 150; // milliseconds between two changes of the address while the handle moves
const JUMPS = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageDown: -50,
  PageUp: 50,
  Home: -Infinity,
  End: Infinity,
};

/** @typedef {{step: number, learning_rate: any, loss: any, gradient_norm: any, weights: string}} StepRecord */

/** The loss curve of a folder with a handle at the step that is shown. */
export class Scrubber {
  /**
   * @param {any} info - the folder
   * @param {StepRecord[]} records - of all its steps
   */
  constructor(info, records) {
    this.first = info.steps.first;
    this.last = info.steps.last;
    this.records = new Map(records.map((record) => [record.step, record]));
    const chart = makeChart({
      label: `loss of the training batches of ${info.name}`,
      series: lossSeries(records),
      steps: [this.first, this.last],
    });
    this.chart = chart;
    this.handle = make("div", {
      className: "handle",
      role: "slider",
      tabIndex: 0,
      "aria-label": "Training step",
      "aria-valuemin": this.first,
      "aria-valuemax": this.last,
    });
    chart.plot.append(this.handle);
    this.facts = make("p", { className: "facts" });
    this.folder = make("a", { className: "button", "data-focus": "folder" }, "The model in the folder");
    this.element = make(
      "div",
      { className: "scrubber" },
      make("div", { className: "scrubber-head" }, this.facts, this.folder),
      chart.element,
    );
    /** @type {string | null} the address before the handle moved; null: it does not move */
    this.before = null;
    this.timer = 0;
    this.#listen();
  }

  /** Show the step of the address. */
  update() {
    if (this.before !== null) return;
    const { step, batch } = state();
    this.#show(step === undefined ? undefined : Number(step));
    // A training batch belongs to a step: the model in the folder is shown with its example.
    this.folder.href = link({ step: undefined, ...(batch && { batch: undefined }) });
  }

  #show(step) {
    this.step = step;
    const shownStep = step ?? this.last;
    this.handle.style.left = `${this.chart.percent(Math.min(this.last, Math.max(this.first, shownStep)))}%`;
    this.handle.classList.toggle("absent-step", step === undefined);
    this.handle.setAttribute("aria-valuenow", `${shownStep}`);
    const record = step === undefined ? undefined : this.records.get(step);
    const words = { initial: "before the first step", folder: "The model in the folder" };
    const loss = record ? `, loss ${compact(Number(record.loss))}` : "";
    const name = step === undefined ? words.folder : `Step ${count(step)}${step === 0 ? `, ${words.initial}` : loss}`;
    this.handle.setAttribute("aria-valuetext", name);
    this.facts.replaceChildren(...this.#describe(step, record));
    if (step === undefined) this.folder.setAttribute("aria-current", "true");
    else this.folder.removeAttribute("aria-current");
  }

  #describe(step, record) {
    const last = count(this.last);
    if (step === undefined) {
      return [make("b", {}, "The model in the folder."), ` The curve is the loss of its training: move the handle to go back to any of its ${last} steps.`];
    }
    const head = make("b", {}, `Step ${count(step)}`);
    if (!record) return [head, step === 0 ? " of " : " is not one of ", `${last}`, step === 0 ? ": the initial weights" : ""];
    const facts = [
      ["loss", record.loss],
      ["learning rate", record.learning_rate],
      ["gradient norm", record.gradient_norm],
    ].flatMap(([name, number]) => [
      ` · ${name} `,
      make("data", { value: `${number}`, title: exact(Number(number)) }, compact(Number(number), 8)),
    ]);
    return [head, ` of ${last}`, ...facts, " · hash of the weights ", make("code", {}, record.weights_hash)];
  }

  #listen() {
    const { plot } = this.chart;
    const toPointer = (event) => {
      const { left, width } = plot.getBoundingClientRect();
      this.#move(this.chart.stepAt((100 * (event.clientX - left)) / width));
    };
    plot.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      plot.setPointerCapture(event.pointerId);
      this.handle.focus({ preventScroll: true });
      toPointer(event);
    });
    plot.addEventListener("pointermove", (event) => {
      if (plot.hasPointerCapture(event.pointerId)) toPointer(event);
    });
    for (const name of ["pointerup", "pointercancel"]) plot.addEventListener(name, () => this.#stop());
    this.handle.addEventListener("keydown", (event) => {
      const jump = event.ctrlKey || event.altKey || event.metaKey ? undefined : JUMPS[event.key];
      if (jump === undefined) return;
      event.preventDefault();
      event.stopPropagation(); // views have keys of their own
      this.#move((this.step ?? this.last) + jump);
    });
    for (const name of ["keyup", "blur"]) this.handle.addEventListener(name, () => this.#stop());
  }

  /** Move the handle; the address follows, without an entry in the history for each step. */
  #move(step) {
    this.before ??= location.hash;
    this.#show(Math.min(this.last, Math.max(this.first, step)));
    this.timer ||= window.setTimeout(() => {
      this.timer = 0;
      if (this.before !== null) go({ step: `${this.step}` }, true);
    }, PAUSE);
  }

  /** End a movement: the step before it and the step after it are entries of the history. */
  #stop() {
    if (this.before === null) return;
    window.clearTimeout(this.timer);
    this.timer = 0;
    const now = location.hash;
    const wanted = link({ step: `${this.step}` });
    history.replaceState(null, "", this.before);
    const isBack = wanted === this.before && wanted !== now;
    this.before = null;
    location.hash = wanted;
    if (isBack) window.dispatchEvent(new HashChangeEvent("hashchange"));
  }
}

/**
 * The losses of steps as they are, and smoothed.
 * @param {StepRecord[]} records
 * @returns {import("./chart.js").Series[]}
 */
export function lossSeries(records) {
  const x = records.map(({ step }) => step);
  const y = records.map(({ loss }) => Number(loss));
  return [
    { name: "loss of each step's batch, before the step", kind: "points", x, y },
    { name: `mean of the last ${MEAN} of them`, kind: "line", x, y: runningMean(y, MEAN) },
  ];
}
