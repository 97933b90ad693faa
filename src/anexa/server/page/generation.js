// A text as it is generated: its pieces, how it ended, and how long it took.

import { ServerError, stream } from "./api.js";

export const STOPPED = "You stopped it here.";

const RENDER_INTERVAL = 30; // milliseconds between two updates of a text

/**
 * What a request generated.
 * @typedef {object} Generated
 * @property {string | null} error why the text is incomplete, as a sentence
 * @property {string | null} finishReason
 * @property {{completion_tokens: number, total_tokens: number} | null} usage
 * @property {number} droppedTurns turns of the conversation that did not fit into the context
 * @property {number} seconds
 */

/**
 * Generate a text; an error ends it, and is part of the result.
 * @param {string} path path of the API
 * @param {string | undefined} key API key
 * @param {object} body body of the request
 * @param {AbortSignal} signal
 * @param {(piece: {content: string, reasoning: string}) => void} receive called with each piece
 * @returns {Promise<Generated>}
 */
export async function generate(path, key, body, signal, receive) {
  const started = performance.now();
  const result = { error: null, finishReason: null, usage: null, droppedTurns: 0, seconds: 0 };
  try {
    for await (const chunk of stream(path, key, body, signal)) {
      const choice = chunk.choices[0];
      result.usage = chunk.usage ?? result.usage;
      result.droppedTurns = chunk.dropped_turns ?? result.droppedTurns;
      if (!choice) continue;
      const { content, reasoning } = choice.delta ?? { content: choice.text };
      result.finishReason = choice.finish_reason ?? result.finishReason;
      receive({ content: content ?? "", reasoning: reasoning ?? "" });
    }
  } catch (error) {
    result.error = error.name === "AbortError" ? STOPPED : messageOf(error);
  }
  result.seconds = (performance.now() - started) / 1000;
  return result;
}

/**
 * Limit how often a function is called.
 * @param {() => void} update
 * @returns {() => void}
 */
export function paced(update) {
  let next = 0;
  return () => {
    const now = performance.now();
    if (now < next) return;
    next = now + RENDER_INTERVAL;
    update();
  };
}

/**
 * The message of an error, as a sentence.
 * @param {Error} error
 * @returns {string}
 */
export function messageOf(error) {
  return sentence(error instanceof ServerError ? error.message : `${error}`);
}

/**
 * Begin a message with a capital letter, and end it with a full stop.
 * @param {string} message
 * @returns {string}
 */
export function sentence(message) {
  const begun = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
