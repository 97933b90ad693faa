// Requests to the server's API.

/** A response with an error status; the message is the server's, the status 0 if there is none. */
export class ServerError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   * @param {string | null} [code] kind of the error
   */
  constructor(message, status, code = null) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Send a request with the key, as POST if there is a body; an error of the server is thrown. */
export async function request(path, key, body, signal) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const options = body ? { method: "POST", body: JSON.stringify(body) } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers, signal });
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") throw error;
    throw new ServerError("The server does not answer. Is it running?", 0);
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  const message = error?.message ?? `The server responds with status ${response.status}.`;
  throw new ServerError(message, response.status, error?.code);
}

/**
 * A served model.
 * @typedef {object} Model
 * @property {string} id
 * @property {number} max_model_len context length in tokens
 * @property {boolean} supports_chat
 * @property {"arithmetic" | "chat" | "text"} task
 * @property {string} description what the model can do
 * @property {string[]} examples prompts to try
 * @property {string} architecture
 * @property {number} num_parameters
 * @property {string} engine
 * @property {number} max_tokens maximum number of generated tokens
 * @property {number} temperature
 * @property {number} top_p
 * @property {number | null} top_k
 */

/** List the served models. @returns {Promise<Model[]>} */
export async function listModels(key) {
  const response = await request("/v1/models", key);
  return (await response.json()).data;
}

/** Load the OpenAPI description of the API. */
export async function loadOpenapi(key) {
  return (await request("/openapi.json", key)).json();
}

/**
 * Encode a text as token ids.
 * @param {string | undefined} key
 * @param {string} model name of the model
 * @param {string} prompt
 * @returns {Promise<number[]>}
 */
export async function tokenize(key, model, prompt) {
  return (await (await request("/tokenize", key, { model, prompt })).json()).tokens;
}

/** Check each line of a thought about arithmetic. */
export async function checkThought(key, question, thought, answer) {
  const signal = AbortSignal.timeout(5000); // milliseconds
  const response = await request("/check", key, { question, thought, answer }, signal);
  return response.json();
}

export const CONNECTION_LOST = "The connection was lost: the answer is incomplete.";

/** Read the next part of a stream; browsers' own messages for a lost connection explain nothing. */
async function readPart(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") throw error;
    throw new ServerError(CONNECTION_LOST, 0);
  }
}

/** Yield the chunks of a streamed response. Aborting the signal cancels the request on the server. */
export async function* stream(path, key, body, signal) {
  const streamed = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await request(path, key, streamed, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let unparsed = "";
  for (;;) {
    const { value, done } = await readPart(reader);
    if (done) throw new ServerError(CONNECTION_LOST, 0); // a whole stream ends with [DONE]
    unparsed += value;
    const events = unparsed.split("\n\n");
    unparsed = events.pop() ?? "";
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ServerError(chunk.error.message, 500);
      yield chunk;
    }
  }
}
