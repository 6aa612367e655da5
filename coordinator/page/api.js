// Talks to the coordinator: calls with the token, and a stream of server-sent events read with fetch,
// since an EventSource cannot send a header.
"use strict";

const TOKEN_KEY = "coordinator-token";
const SILENCE_MAX_MS = 25_000;
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

// Hands each event to `show` until the stream ends; throws what ended it. A connection on which nothing comes
// for so long is dead, whatever the browser thinks of it: the coordinator says something every 10 s.
async function watch(path, show, signal) {
  const silence = new AbortController();
  const giveUp = () => silence.abort(new Error(`nothing came for ${SILENCE_MAX_MS / 1000} s`));
  let timer = setTimeout(giveUp, SILENCE_MAX_MS);
  try {
    const until = AbortSignal.any([signal, silence.signal]);
    const response = await check(await fetch(path, { headers: headers(), signal: until, cache: "no-store" }));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the coordinator ended the stream");
      clearTimeout(timer);
      timer = setTimeout(giveUp, SILENCE_MAX_MS);
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) take(event, show);
    }
  } finally {
    clearTimeout(timer);
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
