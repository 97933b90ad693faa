// The page: chooses the view of the model, and connects it to the buttons and the settings.

import { listModels } from "./api.js";
import { Conversation } from "./conversation.js";
import { byId, following } from "./dom.js";
import { messageOf } from "./generation.js";
import { Notebook } from "./notebook.js";
import {
  adaptSettings, fillSettings, keepSettings, resetSettings, settings,
} from "./settings.js";
import { fillWelcome } from "./welcome.js";

const PLACEHOLDERS = { arithmetic: "Type a calculation …", chat: "Type a message …" };

const conversation = new Conversation(byId("turns"), () => refresh());
const notebook = new Notebook(byId("notebook"), () => refresh());
let view = conversation; // or the notebook, for a base model
let models = [];
let connecting = null; // promise of the list of models that is being loaded
let retry; // timer of the next try to load it
let wasRunning = false;

const currentModel = () => models.find((model) => model.id === byId("model").value) ?? models[0];

/** Show the state of the view in the buttons, the gauge and the live region. */
function refresh() {
  const isRunning = Boolean(view.running);
  const model = currentModel();
  byId("welcome").hidden = !model || !view.isEmpty;
  byId("send").hidden = isRunning;
  byId("stop").hidden = !isRunning;
  byId("new").disabled = isRunning || view.isEmpty;
  byId("export").disabled = view.isEmpty;
  byId("undo").disabled = isRunning || !notebook.canUndo;
  byId("retry").disabled = isRunning || !notebook.canRetry;
  byId("model").disabled = isRunning;
  if (!isRunning && view.speed) byId("speed").textContent = `${Math.round(view.speed)} tokens/s`;
  if (model) showContext(view.usage, model.max_model_len);
  if (isRunning && !wasRunning) setStatus("");
  if (!isRunning && wasRunning) finish();
  wasRunning = isRunning;
}

/** Announce a generated text to screen readers; whoever has gone elsewhere keeps the focus. */
function finish() {
  byId("announcement").textContent = view.announcement;
  const { activeElement } = document;
  if (activeElement === document.body || !activeElement.checkVisibility()) input().focus();
}

/**
 * Show how much of the context a text takes.
 * @param {number | null} tokens tokens of the text; null if they are not known
 * @param {number} size tokens of the context
 */
function showContext(tokens, size) {
  const shown = (number) => number?.toLocaleString("en") ?? "–";
  byId("context").value = Math.min(1, (tokens ?? 0) / size);
  byId("context-label").textContent =
    tokens > size
      ? `Context: last ${shown(size)} of ${shown(tokens)}`
      : `Context ${shown(tokens)} of ${shown(size)}`;
}

function setStatus(text) {
  byId("status").textContent = text;
}

const input = () => (view === notebook ? notebook.area : byId("prompt"));

// Models and settings

/** Load the list of models, once for all who ask at the same time. */
function connect() {
  return (connecting ??= loadModels().finally(() => (connecting = null)));
}

/** Load the list of models; try again every second while the server is unavailable. */
async function loadModels() {
  clearTimeout(retry);
  try {
    models = await listModels(settings.key);
  } catch (error) {
    setStatus(messageOf(error));
    if (error.status === 401) askForKey();
    if (error.status === 503 || error.status === 0) retry = setTimeout(connect, 1000);
    return;
  }
  setStatus("");
  byId("model").replaceChildren(...models.map((model) => new Option(model.id, model.id)));
  if (models.some((model) => model.id === settings.model)) byId("model").value = settings.model;
  document.querySelector(".choice").hidden = models.length < 2;
  showModel();
}

function askForKey() {
  models = [];
  setStatus(settings.key ? "The server refused this API key." : "This server needs an API key.");
  openSettings(true);
  byId("key").focus();
}

function showModel() {
  const model = currentModel();
  const isChat = model.supports_chat;
  view = isChat ? conversation : notebook;
  for (const node of document.querySelectorAll(".of-chat")) node.hidden = !isChat;
  for (const node of document.querySelectorAll(".of-text")) node.hidden = isChat;
  byId("conversation").setAttribute("aria-label", isChat ? "Conversation" : "Notebook");
  byId("send").textContent = isChat ? "Send" : "Continue";
  byId("send").title = isChat ? "Enter" : "Ctrl+Enter";
  byId("prompt").placeholder = PLACEHOLDERS[model.task] ?? "";
  fillWelcome(byId("welcome"), model, (text) => view.start(text));
  adaptSettings(model);
  view.show(model);
  if (document.activeElement === document.body) input().focus();
  if (!byId("settings").checkValidity()) openSettings(true); // to show which values are invalid
}

function openSettings(open) {
  const show = () => (byId("settings").hidden = !open);
  if (view.isEmpty) show();
  else following(byId("conversation"), show);
  byId("open-settings").setAttribute("aria-expanded", String(open));
}

/** Send what was typed, when the list of models is there; without it, it stays in its field. */
async function submit() {
  if (view === notebook) return notebook.submit();
  if (!models.length) await connect();
  if (!models.length || view === notebook) return;
  const content = byId("prompt").value;
  if (view.running || !content.trim()) return;
  byId("prompt").value = "";
  view.start(content);
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
notebook.area.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") view.stop();
});
byId("stop").addEventListener("click", () => view.stop());
byId("undo").addEventListener("click", () => notebook.undo());
byId("retry").addEventListener("click", () => notebook.retry());
byId("new").addEventListener("click", () => {
  view.clear();
  setStatus("");
  input().focus();
});
byId("export").addEventListener("click", () => view.export());
byId("open-settings").addEventListener("click", () => openSettings(byId("settings").hidden));
byId("settings").addEventListener("change", (event) => {
  keepSettings();
  if (event.target.id === "key") Promise.resolve(connecting).then(connect); // with the new key
});
// Text that is not a number, such as "1e", causes no change event.
byId("settings").addEventListener("focusout", keepSettings);
byId("settings").addEventListener("submit", (event) => event.preventDefault());
byId("reset").addEventListener("click", resetSettings);
byId("model").addEventListener("change", () => {
  keepSettings();
  showModel();
});

fillSettings();
refresh();
connect();
