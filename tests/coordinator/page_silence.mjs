// The page's api.js, with a connection and a clock that stand still. Prints what it does as JSON.

import { readFileSync } from "node:fs";
import { runInNewContext } from "node:vm";

const timers = new Map();
let number = 0;
let connection;

const world = {
  AbortController,
  AbortSignal,
  TextDecoderStream,
  sessionStorage: { getItem: () => "token" },
  setTimeout: (act, ms) => {
    timers.set(++number, { act, ms });
    return number;
  },
  clearTimeout: (id) => timers.delete(id),
  fetch: async (path, { signal }) => {
    const body = new ReadableStream({ start: (controller) => (connection = controller) });
    signal.addEventListener("abort", () => connection.error(signal.reason));
    return new Response(body);
  },
};
const watch = runInNewContext(`${readFileSync(process.argv[2], "utf8")}\nwatch`, world);

const write = (text) => connection.enqueue(new TextEncoder().encode(text));
const settled = () => new Promise((resolve) => setImmediate(resolve));
const shown = [];
const ended = watch("/v1/watch", (news) => shown.push(news), new AbortController().signal).catch((error) => error.message);
await settled();
const waits = [[...timers]];
for (const text of ['data: {"nodes": 1}\n\n', ": here\n\n"]) {
  write(text);
  for (let turn = 0; turn < 20; turn++) await settled();
  waits.push([...timers]);
}
for (const { act } of timers.values()) act();
console.log(
  JSON.stringify({
    shown,
    waits: waits.map((set) => set.map(([id, { ms }]) => [id, ms])),
    ended: await ended,
    left: timers.size,
  }),
);
