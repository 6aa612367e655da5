// centrifuge-js, driven by commands: node centrifuge.mjs WHERE json|protobuf [TOKEN...]
// WHERE is the address of a WebSocket, or as JSON the transports to be tried and where emulation POSTs go:
// {"transports":[{"transport":"sse","endpoint":"http://..."}],"emulation":"http://.../emulation"}.
// The first token is the client's own, the others are what it is given when it asks for a new one.

import { EventSource } from "eventsource";
import WebSocket from "ws";
import { serve, tell } from "./commands.mjs";

const [where, encoding, token, ...newTokens] = process.argv.slice(2);
const { transports, emulation } = where.startsWith("{") ? JSON.parse(where) : { transports: where };
const binary = encoding === "protobuf";
const { Centrifuge } = await import(binary ? "centrifuge/build/protobuf" : "centrifuge");

// With Protobuf payloads are bytes: here always those of a JSON text.
const encode = (data) => (binary ? new TextEncoder().encode(JSON.stringify(data)) : data);
const decode = (data) => (binary ? JSON.parse(new TextDecoder().decode(data)) : data);

const client = new Centrifuge(transports, {
  websocket: WebSocket,
  eventsource: EventSource,
  ...(emulation && { emulationEndpoint: emulation }),
  minReconnectDelay: 20,
  maxReconnectDelay: 200,
  token: token ?? "",
  getToken: token === undefined ? null : async () => {
    tell("token wanted");
    return newTokens.shift();
  },
});
client.on("connecting", ({ code, reason }) => tell("connecting", { code, reason }));
client.on("connected", ({ client, transport }) => tell("connected", { client, transport }));
client.on("disconnected", ({ code, reason }) => tell("disconnected", { code, reason }));
client.on("error", ({ error }) => tell("error", { code: error.code }));

const publication = ({ data, offset, info, tags }) =>
  ({ data: decode(data), offset: offset ?? 0, user: info?.user ?? null, tags: tags ?? {} });

function subscribe({ channel }) {
  const subscription = client.newSubscription(channel, { minResubscribeDelay: 20, maxResubscribeDelay: 200 });
  const on = (event, describe) =>
    subscription.on(event, (context) => tell(event, { channel, ...describe(context) }));
  on("subscribing", ({ code, reason }) => ({ code, reason }));
  on("subscribed", ({ recoverable, wasRecovering, recovered }) =>
    ({ recoverable, was_recovering: wasRecovering, recovered }));
  on("unsubscribed", ({ code, reason }) => ({ code, reason }));
  on("publication", publication);
  subscription.on("error", ({ error }) => tell("refused", { channel, code: error.code, message: error.message }));
  subscription.subscribe();
}

await serve({
  connect: () => client.connect(),
  subscribe,
  unsubscribe: ({ channel }) => client.getSubscription(channel).unsubscribe(),
  publish: async ({ channel, data }) => void (await client.publish(channel, encode(data))),
  presence: () => client.presence("room"),
  presence_stats: () => client.presenceStats("room"),
  rpc: () => client.rpc("method", encode({})),
  history: async ({ channel, limit, since, reverse }) => {
    const { publications, offset, epoch } = await client.history(channel, { limit, since, reverse });
    return { offset, epoch, publications: publications.map(publication) };
  },
});
