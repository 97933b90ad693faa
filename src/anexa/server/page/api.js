// The server, as the page sees it.

/** An answer that is no success; its message is the server's own sentence. */
export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function request(path, key, body, signal) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const options = body ? { method: "POST", body: JSON.stringify(body) } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer. Is it running?", 0);
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new ServerError(answer.error?.message ?? `The server says ${response.status}.`, response.status);
}

export async function models(key) {
  const response = await request("/v1/models", key);
  return (await response.json()).data;
}

/** What all of this is, as OpenAPI has it. */
export async function openapi(key) {
  return (await request("/openapi.json", key)).json();
}

/** What is true of a thought, line by line. */
export async function check(key, question, thought, answer) {
  const inTime = AbortSignal.timeout(5000);
  const response = await request("/check", key, { question, thought, answer }, inTime);
  return response.json();
}

export const LOST = "The connection was lost: the answer is not whole.";

/** What a stream has next; the browser's own words for a lost connection tell nobody anything. */
async function next(reader) {
  try {
    return await reader.read();
  } catch (error) {
    throw error.name === "AbortError" ? error : new ServerError(LOST, 0);
  }
}

/** The events of a stream, one by one. To end it, abort the signal: the server stops, too. */
export async function* stream(path, key, body, signal) {
  const asked = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await request(path, key, asked, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await next(reader);
    if (done) throw new ServerError(LOST, 0); // whole is what has said that it is
    held += value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const parsed = JSON.parse(data);
      if (parsed.error) throw new ServerError(parsed.error.message, 500);
      yield parsed;
    }
  }
}
