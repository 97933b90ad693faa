// Jobs that take seconds: each is started once, goes on while other views are shown, and keeps its
// result for the next time.

import { hasResult, job, keepResult } from "./api.js";
import { make } from "./dom.js";

/** @type {Map<string, Task>} */
const tasks = new Map();

/** A job with its progress and its result. */
export class Task {
  /**
   * @param {string} name - of the job
   * @param {Record<string, any>} body - of its request
   */
  constructor(name, body) {
    this.name = name;
    this.body = body;
    /** @type {any} the last report of its progress */
    this.progress = null;
    /** @type {any} */
    this.result = undefined;
    this.error = "";
    /** @type {AbortController | null} there while the job runs */
    this.running = null;
    /** @type {() => void} called after every change */
    this.onChange = () => {};
    /** @type {(progress: any) => void} called with every report of the progress */
    this.onProgress = () => {};
  }

  /** Start the job, unless it runs or is done. */
  async start() {
    if (this.running || this.result !== undefined) return;
    const running = new AbortController();
    [this.running, this.error, this.progress] = [running, "", null];
    this.onChange();
    const report = (progress) => {
      if (this.running !== running) return;
      this.progress = progress;
      this.onProgress(progress);
      this.onChange();
    };
    try {
      this.result = await job(this.name, this.body, report, running.signal);
    } catch (error) {
      if (this.running === running) this.error = /** @type {Error} */ (error).message;
    }
    if (this.running !== running) return; // it was canceled, and may run again
    this.running = null;
    this.onChange();
  }

  /** Cancel the job. */
  cancel() {
    const { running } = this;
    this.running = null;
    running?.abort();
    this.onChange();
  }
}

/**
 * The task of a job; the same for the same body.
 * @param {string} name
 * @param {Record<string, any>} body
 * @returns {Task}
 */
export function taskOf(name, body) {
  const key = `${name} ${JSON.stringify(body)}`;
  const known = tasks.get(key) ?? new Task(name, body);
  tasks.set(key, known);
  return known;
}

/**
 * Make the panel of a task: a button that starts it, its progress with a button that cancels it,
 * and what it led to. A saved file that has the result shows it at once.
 * @param {Task} task
 * @param {string} label - of the button
 * @param {(result: any) => Node[]} draw - shows the result
 * @returns {HTMLElement}
 */
export function makePanel(task, label, draw) {
  const panel = make("div", { className: "panel" });
  const start = make("button", { type: "button", "data-focus": `start ${label}` }, label);
  start.addEventListener("click", () => task.start());
  const bar = make("progress", { max: 1, "aria-label": label });
  const percent = make("span", { className: "percent" });
  const cancel = make("button", { type: "button", className: "quiet", "data-focus": `cancel ${label}` }, "Cancel");
  cancel.addEventListener("click", () => task.cancel());
  const running = make("div", { className: "running" }, bar, percent, cancel);
  const error = make("p", { className: "error", role: "alert" });
  task.onChange = () => {
    if (task.running) {
      if (typeof task.progress === "number") bar.value = task.progress;
      percent.textContent = typeof task.progress === "number" ? `${Math.floor(100 * task.progress)} %` : "";
      if (!running.isConnected || start.isConnected) panel.replaceChildren(running);
    } else if (task.result !== undefined) {
      panel.replaceChildren(...draw(task.result));
    } else {
      error.textContent = task.error;
      panel.replaceChildren(start, ...(task.error ? [error] : []));
    }
  };
  task.onChange();
  if (hasResult(task.name, task.body)) task.start();
  else if (task.result !== undefined) keepResult(task.name, task.body, task.result);
  return panel;
}
