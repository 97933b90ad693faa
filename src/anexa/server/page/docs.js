// /openapi.json as a page: each route, and what can be asked of it.

import { openapi } from "./api.js";
import { loadSettings } from "./store.js";

function element(tag, text, ...children) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

let schemas = {};

const resolved = (schema) => (schema.$ref ? schemas[schema.$ref.split("/").at(-1)] : schema);

/** What a value has to be, in words. */
function words(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  const some = schema.anyOf ?? schema.oneOf;
  if (some) return some.map(words).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const bounds = [
    ["minimum", "at least"], ["exclusiveMinimum", "above"], ["maximum", "at most"],
    ["exclusiveMaximum", "below"], ["minLength", "of at least"], ["maxLength", "of at most"],
    ["minItems", "of at least"], ["maxItems", "of at most"],
  ];
  const limits = bounds
    .filter(([name]) => schema[name] !== undefined)
    .map(([name, said]) => `${said} ${schema[name].toLocaleString("en")}`);
  const kind = schema.type === "array" ? `list of ${words(schema.items ?? {})}` : schema.type;
  return [kind ?? "anything", ...limits].join(" ");
}

function table(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) =>
    element(
      "tr",
      "",
      element("td", "", element("code", name)),
      element("td", words(field)),
      element("td", (schema.required ?? []).includes(name) ? "needed" : ""),
    ),
  );
  return element("table", "", ...rows);
}

/** The schemas that a schema speaks of, itself first. */
function spoken(schema, found = new Map()) {
  const name = schema.$ref?.split("/").at(-1);
  if (name && !found.has(name)) {
    found.set(name, schemas[name]);
    spoken(schemas[name], found);
  }
  for (const value of Object.values(schema)) {
    if (value && typeof value === "object") spoken(value, found);
  }
  return found;
}

function route(path, method, about) {
  const parts = [element("h2", `${method.toUpperCase()} ${path}`), element("p", about.description)];
  const asked = about.requestBody?.content?.["application/json"]?.schema;
  for (const parameter of about.parameters ?? []) {
    parts.push(element("p", `${parameter.name}: ${words(parameter.schema)}`));
  }
  for (const [name, schema] of asked ? spoken(asked) : []) {
    if (!schema.properties) continue;
    if (name !== asked.$ref.split("/").at(-1)) parts.push(element("p", `${name}:`));
    parts.push(table(resolved(schema)));
  }
  return element("section", "", ...parts);
}

try {
  const api = await openapi(loadSettings().key);
  schemas = api.components?.schemas ?? {};
  const routes = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, about]) => route(path, method, about)),
  );
  document.getElementById("routes").append(...routes);
} catch (error) {
  document.getElementById("trouble").textContent = error.message;
}
