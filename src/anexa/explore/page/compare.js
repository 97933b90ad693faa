// Compare: two folders, two steps, or a model with and without its switches.

import { get } from "./api.js";
import { make } from "./dom.js";
import { compact, count, exact } from "./format.js";
import { listen } from "./keys.js";
import { makePath } from "./path.js";
import { makeLosses, makeTokens } from "./readings.js";
import { VERSUS_KEYS, go, isCompared, link, scene, versus } from "./state.js";
import { makeWideTable } from "./wide_table.js";

const FOLDER_STEP = "-1"; // the weights in the folder, as a step of what is compared with

/**
 * Show what the scene is compared with, and how far apart they are.
 * @param {HTMLElement} root
 * @param {any} state
 * @param {any} info the folder
 * @param {AbortSignal} signal
 */
export async function show(root, state, info, signal) {
  const { folders } = await get("folders");
  root.append(
    makePath(["Compare"]),
    make("h2", {}, "Compare"),
    make(
      "p",
      { className: "lead" },
      "The same text, read by this model (here) and by another one, by itself at another step, or without its switches (there). Every difference is here minus there.",
    ),
    makeForm(state, info, folders),
  );
  listen(root, signal);
  if (!isCompared(state)) {
    root.append(makeAdvice(state, info, folders));
    return;
  }
  const patch = patchOf(state);
  try {
    const here = await get("text", scene(state), signal);
    const there = await get("text", { ...scene(state), ...patch }, signal);
    const found = await get("differences", { ...scene(state), ...versus(state) }, signal);
    const none = Object.fromEntries(VERSUS_KEYS.map((key) => [key, undefined]));
    const second = { name: "here", reading: here, patch: none };
    const first = { name: "there", reading: there, patch: { ...none, ...patch } };
    root.append(makeSides(state, patch, folders), ...makeResult(first, second, found));
  } catch (error) {
    if (signal.aborted) throw error;
    root.append(make("p", { className: "error", role: "alert" }, /** @type {Error} */ (error).message));
  }
}

/** What "here" and "there" are: the folder, the step, and the switches of each. */
function makeSides(state, patch, folders) {
  const inWords = ({ folder = "0", step, edit }) =>
    [
      folders[Number(folder)].name,
      step === undefined ? "the model in the folder" : `step ${count(Number(step))}`,
      edit ? `with ${edit.join(", ")}` : "",
    ].filter(Boolean).join(", ");
  const [here, there] = [inWords(state), inWords({ ...state, ...patch })];
  return make("p", { className: "here-there" }, make("b", {}, "Here: "), `${here}. `, make("b", {}, "There: "), `${there}.`);
}

/** The part of a scene in which there differs from here. */
function patchOf({ folder, step, edit, versus_folder, versus_step, versus_unedited }) {
  return {
    folder: versus_folder ?? folder,
    step: versus_step === undefined ? step : versus_step === FOLDER_STEP ? undefined : versus_step,
    edit: versus_unedited ? undefined : edit,
  };
}

function makeAdvice({ edit }, { steps }, folders) {
  const isAlone = folders.length < 2 && !steps && !edit;
  return make(
    "p",
    {},
    isAlone
      ? "There is nothing to compare this model with: open two folders (anexa explore FOLDER FOLDER), train a run that keeps its steps, or set a switch."
      : "Choose what to compare with.",
  );
}

function makeForm(state, info, folders) {
  const folder = make(
    "select",
    { "data-focus": "versus folder" },
    ...folders.map(({ id, name }) => make("option", { value: `${id}` }, name)),
  );
  folder.value = state.versus_folder ?? state.folder ?? "0";
  const step = make("input", { type: "number", step: "1", placeholder: "none", "data-focus": "versus step" });
  step.value = state.versus_step === FOLDER_STEP ? "" : (state.versus_step ?? state.step ?? "");
  const limit = () => {
    const { steps } = folders[Number(folder.value)];
    step.disabled = !steps;
    [step.min, step.max] = steps ? [`${steps.first}`, `${steps.last}`] : ["", ""];
  };
  folder.addEventListener("change", limit);
  limit();
  const unedited = make("input", { type: "checkbox", "data-focus": "versus unedited", disabled: !state.edit });
  unedited.checked = Boolean(state.versus_unedited);
  const form = make(
    "form",
    { className: "versus" },
    make("label", {}, "Compare with ", folder),
    make("label", { title: "No step: the model in the folder" }, "after step ", step),
    make("label", {}, unedited, " without the switches"),
    make("button", { type: "submit", "data-focus": "compare" }, "Compare"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = step.disabled || step.value === "" ? FOLDER_STEP : step.value;
    go({ versus_folder: folder.value, versus_step: wanted, versus_unedited: unedited.checked ? "1" : undefined });
  });
  return form;
}

function makeResult(first, second, { notes, tensors }) {
  const section = (title, ...children) => make("section", {}, make("h3", {}, title), ...children);
  const href = link({ view: "map", quantity: "difference", tensor: undefined, index: undefined, lead: undefined });
  return [
    ...notes.map((note) => make("p", { className: "note" }, note)),
    section(
      "Losses",
      makeLosses(first, second),
      make("p", {}, make("a", { href, "data-focus": "difference" }, "Map of the differences")),
      makeTokens(first, second),
    ),
    section("Tensors", ...makeTensors(tensors)),
  ];
}

/** The tensors as a table, those that differ most first. */
function makeTensors(tensors) {
  const finite = tensors.map(({ relative }) => Number(relative)).filter(Number.isFinite);
  const maximum = Math.max(0, ...finite);
  const heads = ["tensor", "kind", "relative difference", "norm", "largest", "at"];
  return [
    make(
      "p",
      { className: "hint" },
      "The relative difference is the norm of the difference divided by the norm of the tensor there: 0 if both are equal.",
    ),
    makeWideTable(
      "The tensors and their differences",
      heads,
      tensors.map((tensor) => makeRow(tensor, maximum)),
      "differences",
    ),
  ];
}

function makeRow({ name, kind, norm, relative, largest, index, obstacle }, maximum) {
  const target = { tensor: name, lead: undefined };
  if (obstacle) {
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      make("td", {}, kind),
      make("td", { colSpan: 4, className: "obstacle" }, obstacle),
    );
  }
  const tensor = link({ ...target, view: "tensor", quantity: "difference", index: index.join(",") });
  const number = link({ ...target, view: "number", quantity: "difference", index: index.join(",") });
  const ratio = Number(relative);
  const bar = make("span", { className: "bar", "aria-hidden": "true" });
  bar.style.width = `${maximum && ratio > 0 ? 4 * Math.min(1, ratio / maximum) : 0}rem`;
  const live = `${name}, relative difference ${exact(ratio)}`;
  const element = `largest difference of ${name}, index ${index.join(", ") || "none"}, difference ${exact(Number(largest))}`;
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, make("a", { href: tensor, "data-focus": `tensor ${name}`, "data-live": live }, name)),
    make("td", {}, kind),
    make("td", { title: exact(ratio) }, bar, compact(ratio)),
    make("td", { title: exact(Number(norm)) }, compact(Number(norm))),
    make(
      "td",
      {},
      make(
        "a",
        {
          href: number,
          title: exact(Number(largest)),
          "data-focus": `largest ${name}`,
          "data-live": element,
        },
        compact(Number(largest)),
      ),
    ),
    make("td", {}, index.length ? `[${index.join(", ")}]` : ""),
  );
}
