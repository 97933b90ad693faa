// The chat page: sends messages, shows answers as they are generated, and saves the conversation.

import { CONNECTION_LOST, ServerError, checkThought, listModels, stream } from "./api.js";
import {
  adaptSettings, fillSettings, keepSettings, resetSettings, samplingFields, settings,
} from "./settings.js";
import { exportTurns, loadTurns, saveTurns } from "./store.js";
import { describeCheck, renderTurn, updateTurn } from "./turns.js";

const byId = (id) => document.getElementById(id);
const RENDER_INTERVAL = 30; // milliseconds between two updates of an answer

let models = [];
let turns = loadTurns();
let running = null; // AbortController of the answer that is being generated

const currentModel = () => models.find((model) => model.id === byId("model").value) ?? models[0];

// The conversation

function render() {
  const items = turns.map((turn, index) => {
    const isWriting = running && index === turns.length - 1;
    return renderTurn(turn, running ? {} : actions(index), isWriting);
  });
  byId("turns").replaceChildren(...items);
  byId("welcome").hidden = turns.length > 0;
  byId("send").hidden = Boolean(running);
  byId("stop").hidden = !running;
  byId("new").disabled = Boolean(running) || !turns.length;
  byId("export").disabled = !turns.length;
}

function updateLastTurn() {
  const follow = isScrolledToEnd();
  updateTurn(byId("turns").lastElementChild, turns.at(-1));
  if (follow) scrollToEnd();
}

const isScrolledToEnd = () => {
  const { scrollHeight, scrollTop, clientHeight } = byId("conversation");
  return scrollHeight - scrollTop - clientHeight < 80; // pixels
};

function scrollToEnd() {
  byId("conversation").scrollTop = byId("conversation").scrollHeight;
}

/** Actions of the buttons of a turn. */
function actions(index) {
  if (turns[index].role === "user") {
    return { resend: (content) => send(content, turns.slice(0, index)), cancel: render };
  }
  const question = turns[index - 1];
  const isLast = index === turns.length - 1;
  return {
    regenerate: isLast && question ? () => send(question.content, turns.slice(0, -2)) : null,
  };
}

/** Path and body of the request for an answer. */
function request(previous, content) {
  const fields = { model: currentModel().id, ...samplingFields(currentModel()) };
  if (!currentModel().supports_chat) return ["/v1/completions", { ...fields, prompt: content }];
  // Questions without a complete answer stay on the page, but are not part of the conversation.
  const answered = previous.filter((turn, index) => {
    const answer = turn.role === "user" ? previous[index + 1] : turn;
    return answer && !answer.error && !answer.isCompletion;
  });
  const messages = [...answered, { role: "user", content }].map(({ role, content }) => ({
    role,
    content,
  }));
  const chat_template_kwargs = { enable_thinking: settings.thinking ?? true };
  return ["/v1/chat/completions", { ...fields, messages, chat_template_kwargs }];
}

/** Send a message, and show the answer as it is generated. */
async function send(content, previous = turns) {
  if (running || !models.length) return;
  const [path, body] = request(previous, content);
  const isCompletion = !currentModel().supports_chat;
  const turn = { role: "assistant", content: "", reasoning: "", isCompletion };
  turns = [...previous, { role: "user", content }, turn];
  running = new AbortController();
  setStatus("");
  // Saved with an error, in case the page is closed before the answer is complete.
  saveTurns([...turns.slice(0, -1), { ...turn, error: CONNECTION_LOST }]);
  render();
  scrollToEnd();
  const receiver = new AnswerReceiver(turn);
  try {
    for await (const chunk of stream(path, settings.key, body, running.signal)) {
      receiver.receive(chunk);
    }
  } catch (error) {
    turn.error = error.name === "AbortError" ? "Stopped." : messageOf(error);
  }
  receiver.finish();
  if (turn.reasoning && turn.content && !turn.error) await checkTurn(content, turn);
  running = null;
  saveTurns(turns);
  render();
  scrollToEnd();
  const announced = [turn.content, turn.error, describeCheck(turn)];
  byId("announcement").textContent = announced.filter(Boolean).join(". ");
  byId("prompt").focus();
}

/** Adds the chunks of a stream to a turn, and measures how long they take. */
class AnswerReceiver {
  constructor(turn) {
    this.turn = turn;
    this.started = performance.now();
    this.nextRender = 0;
  }

  receive(chunk) {
    const choice = chunk.choices[0];
    const now = performance.now();
    if (choice) {
      const { content, reasoning } = choice.delta ?? { content: choice.text };
      if (reasoning) this.turn.reasoning += reasoning;
      if (content && this.turn.reasoning) this.endThinking(now);
      if (content) this.turn.content += content;
      if (choice.delta && choice.finish_reason === "length") this.turn.error = cutOff(this.turn);
    }
    if (chunk.usage) {
      const seconds = (now - this.started) / 1000;
      const tokensPerSecond = chunk.usage.completion_tokens / seconds;
      byId("speed").textContent = `${Math.round(tokensPerSecond)} tokens/s`;
      this.turn.totalTokens = chunk.usage.total_tokens;
      showContext();
    }
    if (now > this.nextRender) {
      this.nextRender = now + RENDER_INTERVAL;
      updateLastTurn();
    }
  }

  endThinking(now) {
    this.turn.thinkingSeconds ??= (now - this.started) / 1000;
  }

  finish() {
    if (this.turn.reasoning) this.endThinking(performance.now());
  }
}

const cutOff = (turn) => {
  const part = turn.content || !turn.reasoning ? "answer" : "thought";
  return `The ${part} was cut off at the maximum number of tokens.`;
};

async function checkTurn(question, turn) {
  try {
    turn.check = await checkThought(settings.key, question, turn.reasoning, turn.content);
  } catch {
    // Without a result the thought is shown without marks.
  }
}

// Status, models and settings

const messageOf = (error) => (error instanceof ServerError ? error.message : `${error}`);

function setStatus(text) {
  byId("status").textContent = text;
}

/** Show how many tokens of the context the conversation takes, up to the last answer. */
function showContext() {
  const size = currentModel().max_model_len;
  const tokens = turns.at(-1)?.totalTokens ?? 0;
  byId("context").value = Math.min(1, tokens / size);
  byId("context-label").textContent = `Context ${tokens} of ${size}`;
}

/** Load the list of models; try again every second while the server is unavailable. */
async function connect() {
  try {
    models = await listModels(settings.key);
  } catch (error) {
    setStatus(messageOf(error));
    if (error.status === 401) askForKey();
    if (error.status === 503 || error.status === 0) setTimeout(connect, 1000);
    return;
  }
  setStatus("");
  byId("model").replaceChildren(...models.map((model) => new Option(model.id, model.id)));
  if (models.some((model) => model.id === settings.model)) byId("model").value = settings.model;
  document.querySelector(".choice").hidden = models.length < 2;
  showModel();
}

function askForKey() {
  models = [];
  setStatus(settings.key ? "The server refused this API key." : "This server needs an API key.");
  openSettings(true);
  byId("key").focus();
}

function showModel() {
  const supportsChat = currentModel().supports_chat;
  byId("welcome").textContent = supportsChat
    ? "Ask for a calculation, such as 347*86, and watch the model work it out. Every step is checked."
    : "Type the beginning of a text, and the model continues it.";
  byId("prompt").placeholder = supportsChat ? "347*86" : "Once upon a time";
  showContext();
  adaptSettings(currentModel());
  if (!byId("settings").checkValidity()) openSettings(true); // to show which values are invalid
}

function openSettings(open) {
  byId("settings").hidden = !open;
  byId("open-settings").setAttribute("aria-expanded", String(open));
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const content = byId("prompt").value;
  if (!content.trim() || running) return;
  if (!models.length) {
    connect(); // the message stays in its field
    return;
  }
  byId("prompt").value = "";
  send(content);
});
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("ask").requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
byId("stop").addEventListener("click", () => running?.abort());
byId("new").addEventListener("click", () => {
  turns = [];
  saveTurns(turns);
  setStatus("");
  if (models.length) showContext();
  render();
  byId("prompt").focus();
});
byId("export").addEventListener("click", () => exportTurns(turns, currentModel()?.id));
byId("open-settings").addEventListener("click", () => openSettings(byId("settings").hidden));
byId("settings").addEventListener("change", (event) => {
  keepSettings();
  if (event.target.id === "key") connect();
});
// Text that is not a number, such as "1e", causes no change event.
byId("settings").addEventListener("focusout", keepSettings);
byId("settings").addEventListener("submit", (event) => event.preventDefault());
byId("reset").addEventListener("click", resetSettings);
byId("model").addEventListener("change", () => {
  keepSettings();
  showModel();
});

render();
fillSettings();
connect();
