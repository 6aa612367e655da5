// Talks to the coordinator: calls with the token, and a stream of server-sent events read with fetch,
// since an EventSource cannot send a header.
"use strict";

const TOKEN_KEY = "coordinator-token";
const token = {
  get: () => sessionStorage.getItem(TOKEN_KEY) ?? "",
  set: (value) => sessionStorage.setItem(TOKEN_KEY, value),
  forget: () => sessionStorage.removeItem(TOKEN_KEY),
};

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function headers() {
  const fields = { "Content-Type": "application/json" };
  if (token.get()) fields.Authorization = `Bearer ${token.get()}`;
  return fields;
}

async function check(response) {
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Refused(response.status, answer.error ?? `HTTP ${response.status}`);
}

async function post(path, request = {}) {
  const body = JSON.stringify(request);
  return (await check(await fetch(path, { method: "POST", headers: headers(), body }))).json();
}

// Hands each event to `show` until the stream ends; throws what ended it.
async function watch(path, show, signal) {
  const response = await check(await fetch(path, { headers: headers(), signal, cache: "no-store" }));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the coordinator ended the stream");
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) take(event, show);
  }
}

function take(event, show) {
  const fields = {};
  for (const line of event.split("\n")) {
    const colon = line.indexOf(": ");
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
  }
  if (fields.data === undefined) return; // a comment that keeps the connection open
  const value = JSON.parse(fields.data);
  if (fields.event === "unavailable") throw new Error(value.error);
  show(value);
}
