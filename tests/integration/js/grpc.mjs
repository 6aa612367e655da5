// A gRPC client of another make: the edge's contract loaded from its file, and nothing else of ours.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

import { serve, tell } from "./commands.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
const options = { includeDirs: [root], keepCase: true, longs: Number, defaults: false };
const { Edge } = grpc.loadPackageDefinition(loadSync("protos/edge.proto", options)).broadcast.edge.v1;
const edge = new Edge(process.argv[2], grpc.credentials.createInsecure());
let commands = null;

function follow(stream, name) {
  stream.on("data", (message) => tell(name, { message }));
  stream.on("error", (error) => {
    const hint = Number(error.metadata?.get("retry-after-ms")[0] ?? 0);
    tell("ended", { code: error.code, details: error.details, hint });
  });
  stream.on("end", () => tell("end", {}));
}

await serve({
  // The client protocol: pings are answered, replies and pushes told.
  connect({ token }) {
    const metadata = new grpc.Metadata();
    if (token) metadata.set("authorization", `Bearer ${token}`);
    commands = edge.Connect(metadata);
    follow(commands, "reply");
    commands.on("data", (reply) => {
      if (!Object.keys(reply).length) commands.write({});
    });
    commands.write({ id: 1, connect: {} });
  },
  send({ message }) {
    commands.write(message);
  },
  finish() {
    commands.end();
  },
  subscribe({ channels }) {
    follow(edge.Subscribe({ channels }), "events");
  },
  publish({ channel, data }) {
    return new Promise((resolve, reject) => {
      edge.Publish({ channel, data: Buffer.from(data) }, (error) => (error ? reject(error) : resolve()));
    });
  },
  publish_stream({ messages }) {
    return new Promise((resolve, reject) => {
      const call = edge.PublishStream((error, summary) => (error ? reject(error) : resolve(summary)));
      for (const { channel, data } of messages) call.write({ channel, data: Buffer.from(data) });
      call.end();
    });
  },
});
