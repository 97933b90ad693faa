// /openapi.json as a page: each route, and the fields of its request.

import { loadOpenapi } from "./api.js";
import { loadSettings } from "./store.js";

function element(tag, text, ...children) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
}

let schemas = {};

const refName = (schema) => schema.$ref?.split("/").at(-1);
// Two schemas of one name have their module before it: anexa__server__chat_completions__Message.
const shortName = (name) => name.split("__").at(-1);
const resolve = (schema) => schemas[refName(schema)] ?? schema;

/** Say how many characters or entries a value has, such as "of 1 to 64 characters". */
function size(least, most, unit) {
  if (!least && most === undefined) return "";
  const shown = (number) => number.toLocaleString("en");
  if (!least) return ` of at most ${shown(most)} ${unit}`;
  if (most !== undefined) return ` of ${shown(least)} to ${shown(most)} ${unit}`;
  return least === 1 ? ", not empty" : ` of at least ${shown(least)} ${unit}`;
}

/** Describe the values that a schema allows. */
function describe(schema) {
  if (schema.$ref) return shortName(refName(schema));
  const types = schema.anyOf ?? schema.oneOf;
  if (types) return types.map(describe).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const keywords = [
    ["minimum", "at least"], ["exclusiveMinimum", "above"], ["maximum", "at most"],
    ["exclusiveMaximum", "below"],
  ];
  const limits = keywords
    .filter(([name]) => schema[name] !== undefined)
    .map(([name, words]) => `${words} ${schema[name].toLocaleString("en")}`);
  const type = schema.type === "array" ? `list of ${describe(schema.items ?? {})}` : schema.type;
  return [type ?? "anything", ...limits].join(" ") +
    size(schema.minLength, schema.maxLength, "characters") +
    size(schema.minItems, schema.maxItems, "entries");
}

const isRefused = (field) => field.description === "not supported";

/** Describe the fields of a schema; those that are refused come last. */
function table(schema) {
  const fields = Object.entries(schema.properties ?? {});
  fields.sort(([, one], [, other]) => isRefused(one) - isRefused(other));
  const rows = fields.map(([name, field]) => {
    const notes = [schema.required?.includes(name) && "required", field.description];
    return element(
      "tr",
      "",
      element("td", "", element("code", name)),
      element("td", describe(field)),
      element("td", notes.filter(Boolean).join("; ")),
    );
  });
  return element("table", "", ...rows);
}

/** Collect the schemas that a schema refers to, by name, in the order of their first use. */
function referenced(schema, found = new Map()) {
  const name = refName(schema);
  if (name && !found.has(name)) {
    found.set(name, schemas[name]);
    referenced(schemas[name], found);
  }
  for (const value of Object.values(schema)) {
    if (value && typeof value === "object") referenced(value, found);
  }
  return found;
}

function route(path, method, operation) {
  const title = element("h2", `${method.toUpperCase()} ${path}`);
  const parts = [title, element("p", operation.description)];
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  for (const parameter of operation.parameters ?? []) {
    parts.push(element("p", `${parameter.name}: ${describe(parameter.schema)}`));
  }
  for (const [name, schema] of body ? referenced(body) : []) {
    if (!schema.properties) continue;
    if (name !== refName(body)) parts.push(element("p", `${shortName(name)}:`));
    parts.push(table(resolve(schema)));
  }
  return element("section", "", ...parts);
}

try {
  const api = await loadOpenapi(loadSettings().key);
  schemas = api.components?.schemas ?? {};
  const routes = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => route(path, method, operation)),
  );
  document.getElementById("routes").append(...routes);
} catch (error) {
  const message = error.status === 401 ? "Enter the API key in the settings at /." : error.message;
  document.getElementById("error").textContent = message;
}
