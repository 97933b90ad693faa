// Requests for numbers: to the server, or in a saved file to the answers that were saved with it.

import { ServerError, request } from "/page/api.js";
import { isSaved, recall, remember, savedHash } from "./answers.js";
import { parseTensors } from "./safetensors.js";

const TOKEN = "anexa-explore-token";

/**
 * Keep the token of the address that the command printed, and take it out of the address.
 * @param {string} [start] - the part of the address that takes its place
 */
export function takeToken(start = "#/map") {
  if (isSaved && !location.hash) history.replaceState(null, "", savedHash);
  const match = location.hash.match(/^#token=([\w-]+)/);
  if (!match) return;
  localStorage.setItem(TOKEN, match[1]);
  history.replaceState(null, "", `${location.pathname}${location.search}${start}`);
}

const token = () => (isSaved ? "" : localStorage.getItem(TOKEN) ?? "");

/**
 * Write a path with its query; lists are repeated keys, undefined values are left out.
 * @param {string} path
 * @param {Record<string, any>} parameters
 */
export function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value === undefined || value === null) continue;
    for (const one of Array.isArray(value) ? value : [value]) query.append(key, `${one}`);
  }
  return `/api/${path}?${query}`;
}

/**
 * Get JSON.
 * @param {string} path - such as "map"
 * @param {Record<string, any>} [parameters]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(path, parameters = {}, signal = undefined) {
  const where = address(path, parameters);
  if (isSaved) return found(where);
  const response = await patient(where, parameters, signal);
  const text = await response.text();
  remember(where, text);
  return JSON.parse(text);
}

/**
 * Get tensors.
 * @param {string} path
 * @param {Record<string, any>} [parameters]
 * @param {AbortSignal} [signal]
 * @returns {Promise<import("./safetensors.js").Tensors>}
 */
export async function getTensors(path, parameters = {}, signal = undefined) {
  const where = address(path, parameters);
  if (isSaved) return parseTensors(Uint8Array.from(atob(found(where)), (c) => c.charCodeAt(0)).buffer);
  const response = await patient(where, parameters, signal);
  const content = await response.arrayBuffer();
  remember(where, content);
  return parseTensors(content);
}

/** The answer in a saved file. */
function found(where) {
  const answer = recall(where);
  if (answer !== undefined) return answer;
  throw new ServerError("This is not in the saved file: open the model with anexa explore.", 0);
}

/**
 * Request an answer; if steps have to be repeated first, wait for them and show the progress.
 * @param {string} where
 * @param {Record<string, any>} parameters - with the folder and the step
 * @param {AbortSignal} [signal]
 */
async function patient(where, { folder, step }, signal) {
  for (;;) {
    try {
      return await request(where, token(), null, signal);
    } catch (error) {
      if (/** @type {ServerError} */ (error).code !== "replay") throw error;
      try {
        await job("replay", { folder: Number(folder ?? 0), step: Number(step) }, showReplay, signal);
      } finally {
        if (!signal?.aborted) showReplay(null); // else another view may show its own progress
      }
    }
  }
}

/** @type {(progress: number | null) => void} */
let showReplay = () => {};

/**
 * Set the function that shows how far a replay of steps is; null: it is done.
 * @param {(progress: number | null) => void} show
 */
export function onReplay(show) {
  showReplay = show;
}

/** The name of a job's result among the answers. */
const nameOf = (/** @type {string} */ name, /** @type {Record<string, any>} */ body) =>
  `/api/${name} ${JSON.stringify(body)}`;

/**
 * Whether the page is a saved file that has the result of a job.
 * @param {string} name
 * @param {Record<string, any>} body
 */
export const hasResult = (name, body) => recall(nameOf(name, body)) !== undefined;

/**
 * Remember the result of a job that ran for a view before: the present view shows it too.
 * @param {string} name
 * @param {Record<string, any>} body
 * @param {any} result
 */
export const keepResult = (name, body, result) => remember(nameOf(name, body), JSON.stringify(result));

/**
 * Run a job that takes seconds. Aborting the signal cancels it on the server.
 * @param {string} name
 * @param {Record<string, any>} body
 * @param {(progress: any) => void} onProgress - called with each report of its progress
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} its result
 */
export async function job(name, body, onProgress = () => {}, signal = undefined) {
  const where = nameOf(name, body);
  if (isSaved) return found(where);
  const response = await request(`/api/${name}`, token(), body, signal);
  for await (const message of lines(response)) {
    if ("error" in message) throw new ServerError(message.error, 400);
    if ("result" in message) {
      keepResult(name, body, message.result);
      return message.result;
    }
    onProgress(message.progress);
  }
  throw new ServerError("The connection was lost: the result is incomplete.", 0);
}

/**
 * Yield the lines of a streamed response, parsed.
 * @param {Response} response
 */
async function* lines(response) {
  const body = /** @type {ReadableStream<BufferSource>} */ (response.body);
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let unparsed = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (unparsed + value).split("\n");
    unparsed = parts.pop() ?? "";
    yield* parts.map((part) => JSON.parse(part));
  }
}
