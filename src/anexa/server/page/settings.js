// The settings: what is written into their fields, and what holds where nothing is.

import { loadSettings, saveSettings } from "./store.js";

const at = (id) => document.getElementById(id);
const NUMBERS = ["temperature", "top_p", "top_k", "seed", "max_tokens"];
const CONTINUED = 200; // tokens; the 16 that are usual with OpenAI are not worth a look

export let settings = loadSettings();

/** The numbers that are asked for, as a request has them. */
export function numbers(model) {
  const asked = NUMBERS.filter((name) => settings[name] !== undefined);
  const some = Object.fromEntries(asked.map((name) => [name, settings[name]]));
  return model.supports_chat ? some : { max_tokens: CONTINUED, ...some };
}

/** Write into the fields what is kept. */
export function fillSettings() {
  for (const name of NUMBERS) at(name).value = settings[name] ?? "";
  at("key").value = settings.key ?? "";
  at("thinking").checked = settings.thinking ?? true;
  readSettings();
}

/** The fields take what this model takes, and show what holds for it where they are empty. */
export function suitSettings(model) {
  at("max_tokens").max = model.max_tokens;
  at("max_tokens").placeholder = model.supports_chat ? model.max_tokens : CONTINUED;
  at("temperature").placeholder = model.temperature;
  at("top_p").placeholder = model.top_p;
  at("top_k").placeholder = model.top_k ?? "all";
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

/** What the fields say; what is wrong in them is told of, and does not hold. */
function readSettings() {
  const model = at("model").value || settings.model; // none is there before the server has answered
  settings = { thinking: at("thinking").checked, model };
  const fields = [...NUMBERS, "key"].map(at);
  const wrong = fields.filter((field) => !field.checkValidity());
  for (const field of fields) {
    const isWrong = wrong.includes(field);
    field.setAttribute("aria-invalid", isWrong);
    field.setAttribute("aria-describedby", isWrong ? "wrong" : "");
    if (isWrong || field.value === "") continue;
    settings[field.id] = field.type === "number" ? field.valueAsNumber : field.value;
  }
  at("wrong").textContent = wrong.map(sentence).join(" ");
}

function sentence(field) {
  const { min, max, step } = field;
  const number = step === "1" ? "a whole number" : "a number";
  const [least, most] = [min, max].map((bound) => Number(bound).toLocaleString("en"));
  const allowed = field.title || `${number} from ${least} to ${most}`;
  return `${field.labels[0].textContent.trim()}: ${allowed}. What is written there is not sent.`;
}
