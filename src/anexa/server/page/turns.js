// One turn of the conversation as HTML. Text is always set as text, never parsed as HTML.

function element(tag, { text, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
}

function button(text, label, action) {
  const node = element("button", { type: "button", text });
  node.setAttribute("aria-label", label);
  node.addEventListener("click", action);
  return node;
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

function thoughtTitle(turn) {
  if (turn.thinkingSeconds === undefined) return "Thinking …";
  return `Thought for ${turn.thinkingSeconds.toFixed(1)} s`;
}

function steps(turn) {
  const list = element("ol", { className: "steps" });
  const lines = turn.reasoning.split("\n");
  lines.forEach((line, index) => list.append(step(line, turn.check?.lines[index])));
  return list;
}

function step(line, checked) {
  const item = element("li", { text: line });
  if (checked?.parsed) {
    item.dataset.mark = checked.true ? "✓" : "✗";
    item.className = checked.true ? "true" : "wrong";
    item.setAttribute("aria-label", `${line}: ${checked.true ? "true" : checked.error}`);
    if (!checked.true) item.title = checked.error;
  }
  return item;
}

/** Describe the result of checking an answer's thought; "" if the checker could read no step. */
export function describeCheck(turn) {
  const result = turn.check;
  if (!result?.lines.some((line) => line.parsed)) return "";
  const count = result.lines.length;
  const steps = count === 1 ? "the one step is" : `all ${count} steps are`;
  if (result.all_true && !result.question_parsed) {
    return `${steps} true; whether they answer the question was not checked`;
  }
  return result.all_true ? `✓ ${steps} true` : `✗ ${result.first_error}`;
}

function verdict(turn) {
  const text = describeCheck(turn);
  if (!text) return null;
  const { all_true, question_parsed } = turn.check;
  const kind = all_true ? (question_parsed ? "" : " unknown") : " wrong";
  return element("span", { className: `verdict${kind}`, text });
}

const speaker = (name) => element("span", { className: "visually-hidden", text: `${name}:` });

function renderQuestion(turn, actions) {
  const content = element("p", { className: "content", text: turn.content });
  const tools = element("div", { className: "tools" });
  const item = element("li", { className: "turn user" }, speaker("You"), content, tools);
  const edit = () => {
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
        actions.cancel();
      }
    });
    const row = element("div", { className: "tools" });
    row.append(button("Resend", "Resend", send), button("Cancel", "Cancel", actions.cancel));
    item.replaceChildren(element("div", { className: "edit" }, area, row));
    area.focus();
  };
  if (actions.resend) tools.append(button("Edit", "Edit and resend", edit));
  return item;
}

function renderAnswer(turn, actions, isWriting) {
  const item = element("li", { className: "turn assistant" }, speaker("Anexa"));
  item.append(element("p", { className: "content", text: turn.content }));
  if (turn.reasoning) addThought(item, turn);
  if (turn.error) item.append(element("p", { className: "error", text: turn.error }));
  if (isWriting) {
    item.classList.add("writing");
    return item;
  }
  const tools = element("div", { className: "tools" });
  const copyButton = button("Copy", "Copy the answer", () => copy(turn.content, copyButton));
  tools.append(copyButton);
  if (actions.regenerate) tools.append(button("Regenerate", "Regenerate", actions.regenerate));
  const result = verdict(turn);
  if (result) tools.append(result);
  item.append(tools);
  return item;
}

/** Add the thought to an answer, as a list of steps that can be collapsed. */
function addThought(item, turn) {
  const details = element("details", { className: "thought", open: turn.open ?? true });
  details.append(element("summary", { text: thoughtTitle(turn) }), steps(turn));
  details.addEventListener("toggle", () => (turn.open = details.open));
  item.querySelector(".content").before(details);
}

/** Show the new text of an answer; existing elements stay, and so does the user's selection. */
export function updateTurn(item, turn) {
  item.querySelector(".content").textContent = turn.content;
  if (!turn.reasoning) return;
  if (!item.querySelector(".thought")) addThought(item, turn);
  item.querySelector("summary").textContent = thoughtTitle(turn);
  const list = item.querySelector(".steps");
  turn.reasoning.split("\n").forEach((line, index) => {
    if (index === list.children.length) list.append(step(line));
    else if (list.children[index].textContent !== line) list.children[index].textContent = line;
  });
}

/** Render a turn with the buttons of its actions; an answer that is being generated has none. */
export function renderTurn(turn, actions, isWriting = false) {
  return turn.role === "user"
    ? renderQuestion(turn, actions)
    : renderAnswer(turn, actions, isWriting);
}
