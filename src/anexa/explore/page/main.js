// The glass box: reads the address, asks for the open folders, and shows a view.

import { beginView, isSaved } from "./answers.js";
import { get, onReplay, takeToken } from "./api.js";
import { followProjector } from "./projector.js";
import { go, link, onChange, state } from "./state.js";

/** The views by name, with the module that shows each: `show(root, state, info, signal)`. */
const VIEWS = {
  map: ["Map", () => import("./map.js")],
  tensor: ["", () => import("./tensor.js")],
  number: ["", () => import("./number.js")],
  text: ["Text", () => import("./text.js")],
  time: ["Time", () => import("./time.js")],
  switches: ["Switches", () => import("./switches.js")],
  teachers: ["Teachers", () => import("./teachers.js")],
  thought: ["Thought", () => import("./thought.js")],
  compare: ["Compare", () => import("./compare.js")],
  train: ["Train a names model here", () => import("./train.js")],
};

const SLOW = 500; // milliseconds after which the page says that it waits for a view
const UNKNOWN = "Open the address that the terminal shows: it contains the token. Then open this address again.";
const WAITING = "Computing…";

/**
 * An element of index.html.
 * @param {string} id
 */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const folderField = /** @type {HTMLSelectElement} */ (byId("folder"));
const kindField = /** @type {HTMLSelectElement} */ (byId("kind"));
const textField = /** @type {HTMLInputElement} */ (byId("text"));
const home = /** @type {HTMLAnchorElement} */ (byId("home"));

/** @type {any[]} */
let folders = [];
let running = new AbortController();

/** The folder that is shown, as /api/folders describes it. */
const current = () => folders[Number(state().folder ?? 0)];

/** Names of the views that a folder has. */
function viewsOf(info) {
  return Object.keys(VIEWS).filter((name) => VIEWS[name][0] && (name !== "thought" || info.chat));
}

/** Complete an address: without an input, the folder's example is shown. */
function complete() {
  const now = state();
  const info = current();
  if (!info || now.text !== undefined || now.chat !== undefined || now.batch !== undefined) return;
  history.replaceState(null, "", link(info.example));
}

function showFrame(info) {
  const now = state();
  folderField.replaceChildren(...folders.map((one) => new Option(one.name, one.id)));
  folderField.value = `${info.id}`;
  const kind = now.chat !== undefined ? "chat" : now.batch ? "batch" : "text";
  kindField.value = kind;
  kindField.options[1].disabled = !info.chat;
  kindField.options[2].disabled = !info.steps;
  const batch = `the batch of training step ${Number(now.step ?? 0) + 1}`;
  textField.value = kind === "batch" ? batch : (now.chat ?? now.text ?? "");
  textField.disabled = kind === "batch";
  const items = viewsOf(info).map((name) => {
    const item = document.createElement("a");
    item.href = link({ view: name });
    item.textContent = VIEWS[name][0];
    const shown = name === now.view || (name === "map" && ["tensor", "number"].includes(now.view));
    if (shown) item.setAttribute("aria-current", "page");
    return item;
  });
  byId("views").replaceChildren(...items);
  home.href = link({ view: "map" });
  showEdits(now.edit ?? []);
  const tensor = ["tensor", "number"].includes(now.view) ? now.tensor : undefined;
  document.title = `${[tensor, VIEWS[now.view][0]].filter(Boolean).join(" · ")} · ${info.name} · Anexa`;
}

/** List the switches that are set, each with a button that takes it back. */
function showEdits(edits) {
  const items = edits.map((edit) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${edit} ×`;
    button.setAttribute("aria-label", `take back ${edit}`);
    button.addEventListener("click", () => {
      const left = edits.filter((one) => one !== edit);
      go({ edit: left.length ? left : undefined });
    });
    return button;
  });
  byId("edits").replaceChildren(...items);
  byId("edits").hidden = !edits.length;
}

/** Show the view of the present address; one that is still loading is given up. */
async function show() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  beginView();
  showReplay(null);
  const waiting = window.setTimeout(() => byId("status").textContent || setStatus(WAITING), SLOW);
  signal.addEventListener("abort", () => window.clearTimeout(waiting));
  const root = document.createElement("div");
  root.className = "view";
  try {
    if (!(state().view in VIEWS)) throw new Error(`There is no view ${state().view}.`);
    if (!folders.length) folders = (await get("folders")).folders;
    if (signal.aborted) return;
    const info = current();
    if (!info) throw new Error(`There is no folder ${state().folder}.`);
    complete();
    showFrame(info);
    const view = await VIEWS[state().view][1]();
    if (signal.aborted) return;
    showCurve(info, signal).catch((error) => signal.aborted || report(error)); // nothing waits for it
    await view.show(root, state(), info, signal);
    if (signal.aborted) return;
    window.clearTimeout(waiting);
    if (byId("status").textContent === WAITING) setStatus("");
    root.dataset.view = state().view;
    replaceView(root);
  } catch (error) {
    if (signal.aborted) return;
    window.clearTimeout(waiting);
    byId("view").replaceChildren(); // what was shown belongs to another address
    report(error);
  }
}

/** Put a view in the place of the present one; the focus goes to the same element, or to the view. */
function replaceView(root) {
  const { activeElement } = document;
  const focus = activeElement?.getAttribute("data-focus");
  const isLost = byId("view").contains(activeElement);
  byId("view").replaceChildren(root);
  const same = focus && root.querySelector(`[data-focus="${CSS.escape(focus)}"]`);
  if (same instanceof HTMLElement) same.focus();
  else if (isLost) {
    byId("view").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

/** Show the loss curve below the view. */
async function showCurve(info, signal) {
  const { showTime } = await import("./time.js");
  if (!signal.aborted) await showTime(byId("time"), state(), info, signal);
}

/** Show an error where the view would be. */
function report(error) {
  if (error.name === "AbortError") return;
  const unknown = error.status === 401;
  setStatus(unknown ? UNKNOWN : error.message, true);
}

function setStatus(text, isError = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("error", isError);
}

/** Open further folders, such as one that was trained on the page. */
window.addEventListener("folders", () => {
  folders = [];
});

folderField.addEventListener("change", () => {
  const { view } = state();
  location.hash = `#/${["tensor", "number"].includes(view) ? "map" : view}?folder=${folderField.value}`;
});

kindField.addEventListener("change", () => {
  const isBatch = kindField.value === "batch";
  if (textField.disabled && !isBatch) textField.value = current().example.text ?? "";
  textField.disabled = isBatch;
});

byId("input").addEventListener("submit", (event) => {
  event.preventDefault();
  const kind = kindField.value;
  const none = { text: undefined, chat: undefined, batch: undefined };
  go({ ...none, [kind]: kind === "batch" ? "1" : textField.value });
});

byId("save").hidden = isSaved;
byId("saved-note").hidden = !isSaved;
byId("save").addEventListener("click", async () => {
  const { save } = await import("./save.js");
  await save().catch(report);
});

/**
 * Show how far the repetition of steps is, with a button that cancels it; null: it is done.
 * @param {number | null} progress
 */
function showReplay(progress) {
  setStatus(progress === null ? "" : `Repeating steps: ${Math.round(100 * progress)} %`);
  byId("cancel").hidden = progress === null;
}

onReplay(showReplay);

byId("cancel").addEventListener("click", () => {
  running.abort();
  showReplay(null);
  setStatus("Canceled: choose another step on the loss curve, or go back.");
  byId("view").replaceChildren(); // what was shown belongs to another address
  byId("view").focus();
});

followProjector();
takeToken();
onChange(show);
show();
