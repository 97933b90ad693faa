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
  lines.forEach((line, number) => {
    const judged = turn.verdict?.lines[number];
    const item = element("li", { text: line });
    if (judged?.read) {
      item.dataset.mark = judged.true ? "✓" : "✗";
      item.className = judged.true ? "true" : "wrong";
      item.setAttribute("aria-label", `${line}: ${judged.true ? "true" : judged.error}`);
      if (!judged.true) item.title = judged.error;
    }
    list.append(item);
  });
  return list;
}

function verdict(turn) {
  const judged = turn.verdict;
  if (!judged?.lines.some((line) => line.read)) return null;
  const count = judged.lines.length;
  const steps = count === 1 ? "the one step is" : `all ${count} steps are`;
  if (judged.all_true && !judged.understood) {
    const text = `${steps} true; whether that answers this is not known`;
    return element("span", { className: "verdict unsure", text });
  }
  const words = judged.all_true ? `✓ ${steps} true` : `✗ ${judged.first_error}`;
  return element("span", { className: judged.all_true ? "verdict" : "verdict wrong", text: words });
}

function question(turn, acts) {
  const said = element("p", { className: "said", text: turn.content });
  const tools = element("div", { className: "tools" });
  const item = element("li", { className: "turn user" }, said, tools);
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
  if (acts) tools.append(button("Edit", "Edit and resend", edit));
  return item;
}

function answer(turn, acts) {
  const item = element("li", { className: acts ? "turn assistant" : "turn assistant writing" });
  if (turn.reasoning) {
    const fold = element("details", { className: "thought", open: turn.open ?? true });
    fold.append(element("summary", { text: thoughtWords(turn) }), steps(turn));
    fold.addEventListener("toggle", () => (turn.open = fold.open));
    item.append(fold);
  }
  item.append(element("p", { className: "said", text: turn.content }));
  if (turn.trouble) item.append(element("p", { className: "trouble", text: turn.trouble }));
  if (acts) {
    const tools = element("div", { className: "tools" });
    const copying = button("Copy", "Copy the answer", () => copy(turn.content, copying));
    tools.append(copying);
    if (acts.regenerate) tools.append(button("Regenerate", "Regenerate", acts.regenerate));
    const judged = verdict(turn);
    if (judged) tools.append(judged);
    item.append(tools);
  }
  return item;
}

/** A turn; without `acts` nothing can be done with it, as it is being written. */
export function draw(turn, acts) {
  return turn.role === "user" ? question(turn, acts) : answer(turn, acts);
}
