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

/** Describe the values that a schema allows. */
function describe(schema) {
  if (schema.$ref) return shortName(refName(schema));
  const types = schema.anyOf ?? schema.oneOf;
  if (types) return types.map(describe).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const keywords = [
    ["minimum", "at least"], ["exclusiveMinimum", "above"], ["maximum", "at most"],
    ["exclusiveMaximum", "below"], ["minLength", "of at least"], ["maxLength", "of at most"],
    ["minItems", "of at least"], ["maxItems", "of at most"],
  ];
  const limits = keywords
    .filter(([name]) => schema[name] !== undefined)
    .map(([name, words]) => `${words} ${schema[name].toLocaleString("en")}`);
  const type = schema.type === "array" ? `list of ${describe(schema.items ?? {})}` : schema.type;
  return [type ?? "anything", ...limits].join(" ");
}

function table(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => {
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
  document.getElementById("error").textContent = error.message;
}
