// The settings form: values that the user has entered, and the model's defaults as placeholders.

import { loadSettings, saveSettings } from "./store.js";

const byId = (id) => document.getElementById(id);
const NUMBERS = [
  "temperature", "top_p", "top_k", "min_p",
  "repetition_penalty", "frequency_penalty", "presence_penalty",
  "seed", "max_tokens",
];
const COMPLETION_TOKENS = 200; // default of this page; the API's default of 16 is too short to read

export let settings = loadSettings();

/** Numeric fields of a request body: those that the user has entered. */
export function samplingFields(model) {
  const entered = NUMBERS.filter((name) => settings[name] !== undefined);
  const fields = Object.fromEntries(entered.map((name) => [name, settings[name]]));
  return model.supports_chat ? fields : { max_tokens: COMPLETION_TOKENS, ...fields };
}

/** Show the saved settings in the form. */
export function fillSettings() {
  for (const name of NUMBERS) byId(name).value = settings[name] ?? "";
  byId("key").value = settings.key ?? "";
  byId("thinking").checked = settings.thinking ?? true;
  readSettings();
}

/** Set the limits and the default values of a model in the form. */
export function adaptSettings(model) {
  byId("max_tokens").max = model.max_tokens;
  byId("max_tokens").placeholder = model.supports_chat ? model.max_tokens : COMPLETION_TOKENS;
  byId("temperature").placeholder = model.temperature;
  byId("top_p").placeholder = model.top_p;
  byId("top_k").placeholder = model.top_k ?? "all";
  byId("thinking").parentElement.hidden = !model.supports_chat;
  readSettings();
}

export function keepSettings() {
  readSettings();
  saveSettings(settings);
}

export function resetSettings() {
  settings = { key: settings.key, model: settings.model };
  fillSettings();
  saveSettings(settings);
}

/** Read the form; invalid values are reported and left out of the settings. */
function readSettings() {
  const model = byId("model").value || settings.model; // the list is empty until the server responds
  settings = { thinking: byId("thinking").checked, model };
  const fields = [...NUMBERS, "key"].map(byId);
  const invalid = fields.filter((field) => !field.checkValidity());
  for (const field of fields) {
    const isInvalid = invalid.includes(field);
    field.setAttribute("aria-invalid", isInvalid);
    field.setAttribute("aria-describedby", isInvalid ? "invalid" : "");
    if (isInvalid || field.value === "") continue;
    settings[field.id] = field.type === "number" ? field.valueAsNumber : field.value;
  }
  byId("invalid").textContent = invalid.map(explainInvalid).join(" ");
}

function explainInvalid(field) {
  const { min, max, step } = field;
  const number = step === "1" ? "a whole number" : "a number";
  const [lowest, highest] = [min, max].map((bound) => Number(bound).toLocaleString("en"));
  const allowed = field.title || `${number} from ${lowest} to ${highest}`;
  return `${field.labels[0].textContent.trim()} must be ${allowed}; this value is not sent.`;
}
