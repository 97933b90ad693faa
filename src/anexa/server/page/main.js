// The page put together: what the user does, what the server answers, and what is kept.

import { LOST, ServerError, check, models, stream } from "./api.js";
import {
  fillSettings, keepSettings, numbers, resetSettings, settings, suitSettings,
} from "./settings.js";
import { exportTurns, loadTurns, saveTurns } from "./store.js";
import { draw, grow, verdictWords } from "./turns.js";

const at = (id) => document.getElementById(id);

let served = []; // models
let turns = loadTurns();
let running = null; // the AbortController of the answer that is being written

const model = () => served.find((one) => one.id === at("model").value) ?? served[0];

// The conversation

function redraw() {
  const items = turns.map((turn, number) => {
    const writing = running && number === turns.length - 1;
    return draw(turn, running ? {} : acts(number), writing);
  });
  at("turns").replaceChildren(...items);
  at("welcome").hidden = turns.length > 0;
  at("send").hidden = Boolean(running);
  at("stop").hidden = !running;
  at("new").disabled = Boolean(running) || !turns.length;
  at("export").disabled = !turns.length;
}

function growLast() {
  const near = isAtEnd();
  grow(at("turns").lastElementChild, turns.at(-1));
  if (near) toEnd();
}

const isAtEnd = () => {
  const { scrollHeight, scrollTop, clientHeight } = at("conversation");
  return scrollHeight - scrollTop - clientHeight < 80;
};

function toEnd() {
  at("conversation").scrollTop = at("conversation").scrollHeight;
}

function acts(number) {
  const again = (content) => {
    const kept = turns.slice(0, number);
    send(content, kept);
  };
  if (turns[number].role === "user") return { resend: again, redraw };
  const asked = turns[number - 1];
  const last = number === turns.length - 1;
  return { regenerate: last && asked ? () => send(asked.content, turns.slice(0, -2)) : null };
}

function body(before, content) {
  const asked = { model: model().id, ...numbers(model()) };
  if (!model().supports_chat) return ["/v1/completions", { ...asked, prompt: content }];
  // What was refused, cut off or no answer is on the page, and is not said again.
  const answered = before.filter((turn, number) => {
    const answer = turn.role === "user" ? before[number + 1] : turn;
    return answer && !answer.trouble && !answer.continues;
  });
  const messages = [...answered, { role: "user", content }].map(({ role, content }) => ({
    role,
    content,
  }));
  const chat_template_kwargs = { enable_thinking: settings.thinking ?? true };
  return ["/v1/chat/completions", { ...asked, messages, chat_template_kwargs }];
}

/** Ask, and watch the answer come. */
async function send(content, before = turns) {
  if (running || !served.length) return;
  const [path, asked] = body(before, content);
  const turn = { role: "assistant", content: "", reasoning: "", continues: !model().supports_chat };
  turns = [...before, { role: "user", content }, turn];
  running = new AbortController();
  say("");
  saveTurns([...turns.slice(0, -1), { ...turn, trouble: LOST }]); // should the page not see its end
  redraw();
  toEnd();
  const watch = new Watch(turn);
  try {
    for await (const event of stream(path, settings.key, asked, running.signal)) watch.see(event);
  } catch (error) {
    if (error.name !== "AbortError") turn.trouble = words(error);
    else turn.trouble = "Stopped.";
  }
  watch.end();
  if (turn.reasoning && turn.content && !turn.trouble) await judge(content, turn);
  running = null;
  saveTurns(turns);
  redraw();
  toEnd();
  at("heard").textContent = [turn.content, turn.trouble, verdictWords(turn)].filter(Boolean).join(". ");
  at("prompt").focus();
}

/** What is measured while an answer comes. */
class Watch {
  constructor(turn) {
    this.turn = turn;
    this.begun = performance.now();
    this.due = 0;
  }

  see(event) {
    const choice = event.choices[0];
    const now = performance.now();
    if (choice) {
      const { content, reasoning } = choice.delta ?? { content: choice.text };
      if (reasoning) this.turn.reasoning += reasoning;
      if (content && this.turn.reasoning && this.turn.seconds === undefined) this.thought(now);
      if (content) this.turn.content += content;
      if (choice.delta && choice.finish_reason === "length") this.turn.trouble = cutOff(this.turn);
    }
    if (event.usage) {
      const seconds = (now - this.begun) / 1000;
      const tokens = event.usage.completion_tokens;
      at("speed").textContent = `${Math.round(tokens / seconds)} tokens/s`;
      this.turn.tokens = event.usage.total_tokens;
      gauge();
    }
    if (now > this.due) {
      this.due = now + 30; // often enough for the eye
      growLast();
    }
  }

  thought(now) {
    this.turn.seconds = (now - this.begun) / 1000;
  }

  end() {
    if (this.turn.reasoning && this.turn.seconds === undefined) this.thought(performance.now());
  }
}

const cutOff = (turn) =>
  turn.content || !turn.reasoning
    ? "The answer was cut off: there was no room for more."
    : "The thought was cut off: there was no room for more.";

async function judge(content, turn) {
  try {
    turn.verdict = await check(settings.key, content, turn.reasoning, turn.content);
  } catch {
    // A thought that nobody could judge is shown without a mark.
  }
}

// Around it

const words = (error) => (error instanceof ServerError ? error.message : `${error}`);

function say(text) {
  at("status").textContent = text;
}

/** How much of the context the last answer has taken, with all before it. */
function gauge() {
  const size = model().max_model_len;
  const tokens = turns.at(-1)?.tokens ?? 0;
  at("context").value = Math.min(1, tokens / size);
  at("context-words").textContent = `Context ${tokens} of ${size}`;
}

async function connect() {
  try {
    served = await models(settings.key);
  } catch (error) {
    say(words(error));
    if (error.status === 401) askForKey();
    if (error.status === 503 || error.status === 0) setTimeout(connect, 1000);
    return;
  }
  say("");
  const names = served.map((one) => new Option(one.id, one.id));
  at("model").replaceChildren(...names);
  if (served.some((one) => one.id === settings.model)) at("model").value = settings.model;
  document.querySelector(".choice").hidden = served.length < 2;
  welcome();
}

function askForKey() {
  served = [];
  say(settings.key ? "This is not the server's API key." : "This server needs its API key.");
  openSettings(true);
  at("key").focus();
}

function welcome() {
  at("welcome").textContent = model().supports_chat
    ? "Ask for a sum, such as 347*86, and watch it being worked out. Every step can be checked."
    : "Type the beginning of a text, and it is continued.";
  at("prompt").placeholder = model().supports_chat ? "347*86" : "Once upon a time";
  gauge();
  suitSettings(model());
  if (!at("settings").checkValidity()) openSettings(true); // it says what does not hold here
}

function openSettings(open) {
  at("settings").hidden = !open;
  at("open-settings").setAttribute("aria-expanded", String(open));
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const content = at("prompt").value.trim();
  if (!content || running) return;
  if (!served.length) {
    connect(); // and what was typed stays
    return;
  }
  at("prompt").value = "";
  send(content);
});
at("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("ask").requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
at("stop").addEventListener("click", () => running?.abort());
at("new").addEventListener("click", () => {
  turns = [];
  saveTurns(turns);
  say("");
  if (served.length) gauge();
  redraw();
  at("prompt").focus();
});
at("export").addEventListener("click", () => exportTurns(turns, model()?.id));
at("open-settings").addEventListener("click", () => openSettings(at("settings").hidden));
at("settings").addEventListener("change", (event) => {
  keepSettings();
  if (event.target.id === "key") connect();
});
at("settings").addEventListener("focusout", keepSettings); // "1e" is no change: it is no number
at("settings").addEventListener("submit", (event) => event.preventDefault());
at("reset").addEventListener("click", resetSettings);
at("model").addEventListener("change", () => {
  keepSettings();
  welcome();
});

redraw();
fillSettings();
connect();
