// The view of a base model: one text, which the user and the model write in turns.

import { ServerError, tokenize } from "./api.js";
import { EMPTY, edit, extend, parts } from "./draft.js";
import { element, following, scrollToEnd } from "./dom.js";
import { STOPPED, generate, paced } from "./generation.js";
import { samplingFields, settings } from "./settings.js";
import { download, loadDraft, saveDraft } from "./store.js";

const MAX_PAST = 50; // continuations that can be undone
const COUNT_DELAY = 300; // milliseconds after the last change of a text, until its tokens are counted

/** The view of a base model. */
export class Notebook {
  /**
   * @param {HTMLElement} box with a textarea, the shading behind it, and a note
   * @param {() => void} onChange called when the text changes, and when a continuation begins
   */
  constructor(box, onChange) {
    [this.shading, this.area] = [box.querySelector(".shading"), box.querySelector("textarea")];
    this.note = box.querySelector(".note");
    this.scroller = box.closest("main");
    this.onChange = onChange;
    this.draft = EMPTY;
    this.past = []; // drafts before and after each continuation
    this.usage = 0; // tokens of the text; null if they are not known
    this.running = null; // AbortController of the continuation that is being generated
    this.model = null;
    this.announcement = "";
    this.area.addEventListener("input", () => {
      this.set(edit(this.draft, this.area.value));
    });
  }

  /** Show the text of a model. */
  show(model) {
    this.model = model;
    this.past = [];
    this.usage = null;
    this.set(loadDraft(model.id) ?? EMPTY);
  }

  get isEmpty() {
    return !this.draft.text;
  }

  /** Whether there is a continuation, or a change after it, to be undone. */
  get canUndo() {
    return this.past.length > 0;
  }

  /** Whether the text ends in a continuation that can be replaced by another. */
  get canRetry() {
    const last = this.past.at(-1);
    return Boolean(last?.isContinuation) && last.after.text === this.draft.text;
  }

  stop() {
    this.running?.abort();
  }

  clear() {
    this.remember(this.draft, EMPTY, false);
    this.set(EMPTY);
  }

  /** Go back to the text before the last continuation, or to its end if it was edited since. */
  undo() {
    const last = this.past.at(-1);
    const edited = last.after.text !== this.draft.text;
    if (!edited) this.past.pop();
    this.set(edited ? last.after : last.before);
  }

  /** Replace the last continuation by another. */
  retry() {
    this.set(this.past.pop().before);
    return this.submit();
  }

  export() {
    download("text.txt", this.draft.text, "text/plain");
  }

  /** Begin with a text, and let the model continue it. */
  start(text) {
    this.set({ text, generated: [] });
    return this.submit();
  }

  /** Let the model continue the text. */
  async submit() {
    if (this.running) return;
    const before = this.draft;
    this.running = new AbortController();
    this.area.readOnly = true;
    this.shading.classList.add("writing");
    this.set(before);
    scrollToEnd(this.scroller);
    const result = await this.receive(before);
    this.running = null;
    this.area.readOnly = false;
    this.shading.classList.remove("writing");
    this.remember(before, this.draft, true);
    this.speed = result.usage && result.usage.completion_tokens / result.seconds;
    this.announcement = this.draft.text.slice(before.text.length);
    this.set(this.draft);
    this.say(result.error ?? ending(result, this.announcement), ![null, STOPPED].includes(result.error));
  }

  /** Generate the continuation of a draft into the text. */
  async receive(before) {
    let continuation = "";
    const update = paced(() => this.set(extend(before, continuation)));
    const { signal } = this.running;
    const fields = { model: this.model.id, ...samplingFields(this.model) };
    const body = { ...fields, prompt: await this.prompt(before.text) };
    const result = await generate("/v1/completions", settings.key, body, signal, (piece) => {
      continuation += piece.content;
      update();
    });
    this.draft = extend(before, continuation);
    return result;
  }

  /** The prompt of a text: the text, or its last tokens if it is longer than the context. */
  async prompt(text) {
    const tokens = await this.tokenize(text);
    const size = this.model.max_model_len;
    return tokens?.length > size ? tokens.slice(-size) : text;
  }

  /** Encode a text; null if the server refuses it, which it will explain when it is to continue. */
  async tokenize(text) {
    try {
      return await tokenize(settings.key, this.model.id, text);
    } catch (error) {
      if (error instanceof ServerError) return null;
      throw error;
    }
  }

  /** Count the tokens of the text, when it has not changed for a moment. */
  count() {
    clearTimeout(this.counting);
    const { model, draft } = this;
    this.counting = setTimeout(async () => {
      const tokens = draft.text ? await this.tokenize(draft.text) : [];
      if (this.model !== model || this.draft.text !== draft.text) return;
      this.usage = tokens?.length ?? null;
      this.onChange();
    }, COUNT_DELAY);
  }

  remember(before, after, isContinuation) {
    this.past = [...this.past, { before, after, isContinuation }].slice(-MAX_PAST);
  }

  /** Show a draft, and keep it. */
  set(draft) {
    this.draft = draft;
    if (this.area.value !== draft.text) this.area.value = draft.text;
    following(this.scroller, () => {
      const shown = parts(draft).map(({ text, isGenerated }) =>
        isGenerated ? element("mark", { text }) : text,
      );
      // A line break at the end of a text takes no room, but in a textarea it does.
      this.shading.replaceChildren(...shown, "\u200b");
    });
    this.say("");
    saveDraft(this.model.id, draft);
    this.onChange();
    if (!this.running) this.count();
  }

  say(text, isError = false) {
    this.note.textContent = text;
    this.note.classList.toggle("error", isError);
  }
}

function ending({ finishReason }, continuation) {
  if (finishReason !== "stop") return "";
  return continuation
    ? "The model ends the text here."
    : "The model adds nothing: to it, this text is complete. Change its end, or try again.";
}
