// One turn of the conversation as it is seen. Text is only ever put in as text, never as HTML.

function element(tag, { text, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

function button(text, label, act) {
  const made = element("button", { type: "button", text });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

async function copy(text, from) {
  try {
    await navigator.clipboard.writeText(text);
    from.textContent = "Copied";
  } catch {
    from.textContent = "Not allowed";
  }
  setTimeout(() => (from.textContent = "Copy"), 1500);
}

/** What the fold of a thought is called. */
function thoughtWords(turn) {
  if (turn.seconds === undefined) return "Thinking …";
  return `Thought for ${turn.seconds.toFixed(1)} s`;
}

function steps(turn) {
  const list = element("ol", { className: "steps" });
  const lines = turn.reasoning.split("\n");
  lines.forEach((line, number) => list.append(step(line, turn.verdict?.lines[number])));
  return list;
}

function step(line, judged) {
  const item = element("li", { text: line });
  if (judged?.read) {
    item.dataset.mark = judged.true ? "✓" : "✗";
    item.className = judged.true ? "true" : "wrong";
    item.setAttribute("aria-label", `${line}: ${judged.true ? "true" : judged.error}`);
    if (!judged.true) item.title = judged.error;
  }
  return item;
}

/** What the checker says of an answer's thought, in words; nothing where it can read none. */
export function verdictWords(turn) {
  const judged = turn.verdict;
  if (!judged?.lines.some((line) => line.read)) return "";
  const count = judged.lines.length;
  const steps = count === 1 ? "the one step is" : `all ${count} steps are`;
  if (judged.all_true && !judged.understood) {
    return `${steps} true; whether that answers this is not known`;
  }
  return judged.all_true ? `✓ ${steps} true` : `✗ ${judged.first_error}`;
}

function verdict(turn) {
  const text = verdictWords(turn);
  if (!text) return null;
  const { all_true, understood } = turn.verdict;
  const kind = all_true ? (understood ? "" : " unsure") : " wrong";
  return element("span", { className: `verdict${kind}`, text });
}

const speaker = (name) => element("span", { className: "unseen", text: `${name}:` });

function question(turn, acts) {
  const said = element("p", { className: "said", text: turn.content });
  const tools = element("div", { className: "tools" });
  const item = element("li", { className: "turn user" }, speaker("You"), said, tools);
  const edit = () => {
    const area = element("textarea", { value: turn.content, rows: 2 });
    area.setAttribute("aria-label", "Edit your message");
    const send = () => area.value.trim() && acts.resend(area.value.trim());
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
      }
      if (event.key === "Escape") {
        event.stopPropagation();
        acts.redraw();
      }
    });
    const row = element("div", { className: "tools" });
    row.append(button("Resend", "Resend", send), button("Cancel", "Cancel", acts.redraw));
    item.replaceChildren(element("div", { className: "edit" }, area, row));
    area.focus();
  };
  if (acts.resend) tools.append(button("Edit", "Edit and resend", edit));
  return item;
}

function answer(turn, acts, writing) {
  const item = element("li", { className: "turn assistant" }, speaker("Anexa"));
  item.append(element("p", { className: "said", text: turn.content }));
  if (turn.reasoning) think(item, turn);
  if (turn.trouble) item.append(element("p", { className: "trouble", text: turn.trouble }));
  if (writing) {
    item.classList.add("writing");
    return item;
  }
  const tools = element("div", { className: "tools" });
  const copying = button("Copy", "Copy the answer", () => copy(turn.content, copying));
  tools.append(copying);
  if (acts.regenerate) tools.append(button("Regenerate", "Regenerate", acts.regenerate));
  const judged = verdict(turn);
  if (judged) tools.append(judged);
  item.append(tools);
  return item;
}

/** Put the fold of a thought into an answer. */
function think(item, turn) {
  const fold = element("details", { className: "thought", open: turn.open ?? true });
  fold.append(element("summary", { text: thoughtWords(turn) }), steps(turn));
  fold.addEventListener("toggle", () => (turn.open = fold.open));
  item.querySelector(".said").before(fold);
}

/** Show what has come since; what is on the page already stays, with what is selected in it. */
export function grow(item, turn) {
  item.querySelector(".said").textContent = turn.content;
  if (!turn.reasoning) return;
  if (!item.querySelector(".thought")) think(item, turn);
  item.querySelector("summary").textContent = thoughtWords(turn);
  const list = item.querySelector(".steps");
  turn.reasoning.split("\n").forEach((line, number) => {
    if (number === list.children.length) list.append(step(line));
    else if (list.children[number].textContent !== line) list.children[number].textContent = line;
  });
}

/** A turn, with what can be done about it; nothing about an answer that is being written. */
export function draw(turn, acts, writing = false) {
  return turn.role === "user" ? question(turn, acts) : answer(turn, acts, writing);
}
