// One turn of the conversation as HTML.

import { button, element } from "./dom.js";
import { STOPPED } from "./generation.js";
import { hasColumns, renderThought, updateThought, verdictOf } from "./thought.js";

/**
 * Actions of the buttons of a turn.
 * @typedef {object} Actions
 * @property {(content: string) => void} resend send another message instead of this one
 * @property {() => void} regenerate generate this answer again
 */

/**
 * Render a turn. The room for its buttons is there from the start, so that nothing moves later.
 * @param {import("./store.js").Turn} turn
 * @param {Actions} actions
 * @returns {HTMLLIElement}
 */
export function renderTurn(turn, actions) {
  return turn.role === "user" ? renderQuestion(turn, actions) : renderAnswer(turn, actions);
}

/**
 * Show the new text of an answer; existing elements stay, and so does the user's selection.
 * @param {HTMLLIElement} item
 * @param {import("./store.js").Turn} turn
 */
export function updateTurn(item, turn) {
  const content = item.querySelector(".content");
  content.textContent = turn.content;
  const thought = item.querySelector(".thought");
  if (thought) updateThought(thought, turn);
  else if (turn.reasoning) content.before(renderThought(turn));
  const tools = item.querySelector(".tools");
  tools.querySelector(".columns").hidden = !hasColumns(turn);
  if (turn.error && !item.querySelector(".error")) {
    const className = turn.error === STOPPED ? "error stopped" : "error";
    tools.before(element("p", { className, text: turn.error }));
  }
  if (turn.droppedTurns && !item.querySelector(".dropped")) {
    item.append(element("p", { className: "dropped", text: droppedNote(turn.droppedTurns) }));
  }
  const verdict = verdictOf(turn);
  if (verdict && !item.querySelector(".verdict")) {
    tools.append(element("span", { className: `verdict ${verdict.kind}`, text: verdict.text }));
  }
}

function droppedNote(count) {
  const turns = count === 1 ? "1 earlier turn was" : `${count} earlier turns were`;
  return `${turns} dropped, to leave room for the answer`;
}

const speaker = (name) => element("span", { className: "visually-hidden", text: `${name}:` });

function renderQuestion(turn, actions) {
  const content = element("p", { className: "content", text: turn.content });
  const edit = button("Edit", "Edit and resend", () => {
    item.append(renderEditor(turn, actions, () => editor().remove()));
    editor().querySelector("textarea").focus();
  });
  const tools = element("div", { className: "tools" }, edit);
  const item = element("li", { className: "turn user" }, speaker("You"), content, tools);
  const editor = () => item.querySelector(".edit");
  return item;
}

function renderEditor(turn, actions, cancel) {
  const area = element("textarea", { value: turn.content, rows: 2 });
  area.setAttribute("aria-label", "Edit your message");
  const send = () => area.value.trim() && actions.resend(area.value);
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
    if (event.key === "Escape") {
      event.stopPropagation();
      cancel();
    }
  });
  const tools = element("div", { className: "tools" });
  tools.append(button("Resend", "Resend", send), button("Cancel", "Cancel", cancel));
  return element("div", { className: "edit" }, area, tools);
}

function renderAnswer(turn, actions) {
  const copyButton = button("Copy", "Copy the answer", () => copy(turn.content, copyButton));
  const regenerate = button("Regenerate", "Regenerate", actions.regenerate);
  regenerate.className = "regenerate";
  const columns = button("Columns", "Show as column arithmetic", () => {
    turn.columns = !turn.columns;
    turn.open = true;
    item.querySelector(".thought").replaceWith(renderThought(turn));
    columns.setAttribute("aria-pressed", String(turn.columns));
  });
  columns.className = "columns";
  columns.setAttribute("aria-pressed", String(turn.columns ?? false));
  const tools = element("div", { className: "tools" }, copyButton, regenerate, columns);
  const item = element("li", { className: "turn assistant" }, speaker("Anexa"));
  item.append(element("p", { className: "content" }), tools);
  updateTurn(item, turn);
  return item;
}

async function copy(text, copyButton) {
  try {
    await navigator.clipboard.writeText(text);
    copyButton.textContent = "Copied";
  } catch {
    copyButton.textContent = "Not allowed";
  }
  setTimeout(() => (copyButton.textContent = "Copy"), 1500);
}
