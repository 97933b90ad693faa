// The conversation with a chat model: messages, answers as they are generated, and their check.

import { CONNECTION_LOST, checkThought } from "./api.js";
import { following, scrollToEnd } from "./dom.js";
import { generate, paced } from "./generation.js";
import { samplingFields, settings } from "./settings.js";
import { download, loadTurns, saveTurns } from "./store.js";
import { verdictOf } from "./thought.js";
import { renderTurn, updateTurn } from "./turns.js";

/** The view of a chat model. */
export class Conversation {
  /**
   * @param {HTMLOListElement} list where the turns are shown
   * @param {() => void} onChange called when an answer begins and ends, and when turns are removed
   */
  constructor(list, onChange) {
    this.list = list;
    this.scroller = list.closest("main");
    this.onChange = onChange;
    this.turns = loadTurns();
    this.running = null; // AbortController of the answer that is being generated
    this.model = null;
    this.shown = new Promise((resolve) => (this.resolveShown = resolve));
    this.list.replaceChildren(...this.turns.map((turn) => this.render(turn)));
  }

  /** Show the conversation with a model. */
  show(model) {
    this.model = model;
    this.resolveShown();
    this.onChange();
  }

  get isEmpty() {
    return !this.turns.length;
  }

  /** What the gauge shows: the tokens of the conversation up to the last answer. */
  get usage() {
    const last = this.turns.findLast((turn) => turn.totalTokens !== undefined);
    if (!last) return 0;
    return last.model === this.model?.id ? last.totalTokens : null; // in another's tokens
  }

  /** What is announced when an answer is finished. */
  get announcement() {
    const turn = this.turns.at(-1);
    if (!turn) return "";
    return [turn.content, turn.error, verdictOf(turn)?.text].filter(Boolean).join(". ");
  }

  stop() {
    this.running?.abort();
  }

  clear() {
    this.truncate(0);
    saveTurns(this.turns);
    this.onChange();
  }

  export() {
    const text = JSON.stringify({ model: this.model?.id, messages: this.turns }, null, 2);
    download("conversation.json", text, "application/json");
  }

  /** Send a message, and show the answer as it is generated. */
  async start(content) {
    if (this.running) return;
    const body = this.body(content);
    const turn = { role: "assistant", content: "", reasoning: "", model: this.model.id };
    // Saved with an error, in case the page is closed before the answer is complete.
    saveTurns([...this.turns, { role: "user", content }, { ...turn, error: CONNECTION_LOST }]);
    const item = this.append({ role: "user", content }, turn);
    this.running = new AbortController();
    this.list.classList.add("busy");
    item.classList.add("writing");
    this.onChange();
    scrollToEnd(this.scroller);
    this.speed = await this.receive(turn, item, body);
    if (turn.reasoning && turn.content && !turn.error) await check(content, turn);
    this.running = null;
    saveTurns(this.turns);
    following(this.scroller, () => {
      this.list.classList.remove("busy");
      item.classList.remove("writing");
      updateTurn(item, turn);
    });
    this.onChange();
  }

  /** Body of the request for an answer. */
  body(content) {
    // Questions without a complete answer stay on the page, but are not part of the conversation.
    const answered = this.turns.filter((turn, index) => {
      const answer = turn.role === "user" ? this.turns[index + 1] : turn;
      return answer && !answer.error;
    });
    const messages = [...answered, { role: "user", content }].map(({ role, content }) => ({
      role,
      content,
    }));
    return {
      model: this.model.id,
      ...samplingFields(this.model),
      messages,
      truncation: "auto", // the oldest turns are dropped when the context is full
      chat_template_kwargs: { enable_thinking: settings.thinking ?? true },
    };
  }

  /** Generate an answer into a turn; returns the tokens per second, null if they are not known. */
  async receive(turn, item, body) {
    const started = performance.now();
    const endThinking = () => (turn.thinkingSeconds ??= (performance.now() - started) / 1000);
    const update = paced(() => following(this.scroller, () => updateTurn(item, turn)));
    const { signal } = this.running;
    const path = "/v1/chat/completions";
    const result = await generate(path, settings.key, body, signal, ({ content, reasoning }) => {
      turn.reasoning += reasoning;
      if (content && turn.reasoning) endThinking();
      turn.content += content;
      update();
    });
    if (turn.reasoning) endThinking();
    turn.error = result.error ?? (result.finishReason === "length" ? cutOff(turn) : undefined);
    turn.droppedTurns = result.droppedTurns;
    turn.totalTokens = result.usage?.total_tokens;
    return result.usage && result.usage.completion_tokens / result.seconds;
  }

  append(question, answer) {
    this.turns.push(question, answer);
    this.list.append(this.render(question), this.render(answer));
    return this.list.lastElementChild;
  }

  /** Remove the turns from an index on. */
  truncate(length) {
    this.turns.length = length;
    while (this.list.children.length > length) this.list.lastElementChild.remove();
  }

  render(turn) {
    const resend = async (content, index) => {
      await this.shown; // turns that were saved are there before the model is known
      if (this.running || index >= this.turns.length) return;
      this.truncate(index);
      this.start(content);
    };
    return renderTurn(turn, {
      resend: (content) => resend(content, this.turns.indexOf(turn)),
      regenerate: () => {
        const index = this.turns.indexOf(turn) - 1;
        resend(this.turns[index].content, index);
      },
    });
  }
}

const cutOff = (turn) => {
  const part = turn.content || !turn.reasoning ? "answer" : "thought";
  return `The ${part} was cut off at the maximum number of tokens.`;
};

async function check(question, turn) {
  try {
    turn.check = await checkThought(settings.key, question, turn.reasoning, turn.content);
  } catch {
    // Without a result the thought is shown without marks.
  }
}
