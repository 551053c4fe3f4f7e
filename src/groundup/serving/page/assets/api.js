// Requests to the server, which is the one that has sent this page.

const KEY = "groundup-key";
const BROKEN = "The server has ended before the answer was complete. Is `groundup serve` still running?";
let key = sessionStorage.getItem(KEY);

async function send(path, body, signal) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}`; // as bytes
  let response;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new Error("The server does not answer. Is `groundup serve` still running?");
  }
  if (response.status === 401) {
    await askForKey();
    return send(path, body, signal);
  }
  if (!response.ok) {
    const said = await response.json().catch(() => null);
    throw new Error(said?.error?.message ?? `The server answers with status ${response.status}.`);
  }
  return response;
}

/** Send JSON, or ask without a body, and return the JSON of the answer. */
export async function ask(path, body, signal) {
  return (await send(path, body, signal)).json();
}

/** Send JSON, and yield the JSON of each server-sent event. */
export async function* events(path, body, signal) {
  const response = await send(path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch((problem) => {
      throw problem.name === "AbortError" ? problem : new Error(BROKEN);
    });
    if (done) throw new Error(BROKEN);
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const said = JSON.parse(data);
      if (said.error) throw new Error(said.error.message);
      yield said;
    }
  }
}

/** Yield the pieces of a model's next message. */
export async function* reply(body, signal) {
  for await (const chunk of events("/v1/chat/completions", { ...body, stream: true }, signal)) {
    const text = chunk.choices[0]?.delta?.content;
    if (text) yield text;
  }
}

let asking = null;

function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    const input = dialog.querySelector("input");
    input.value = "";
    dialog.addEventListener("close", () => {
      key = input.value.trim();
      sessionStorage.setItem(KEY, key);
      asking = null;
      resolve();
    }, { once: true });
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.showModal();
  });
  return asking;
}
