// A page's client: grpc-web as published, in pages of Chromium. Arguments: the browser's program.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";
import protobuf from "protobufjs";

import { serve, tell } from "./commands.mjs";

const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox"] });
const contracts = new protobuf.Root();
const folder = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
contracts.resolvePath = (_, path) => join(folder, path);
contracts.loadSync("protos/edge.proto", { keepCase: true });
const library = readFileSync("node_modules/grpc-web/index.js", "utf8");
let page = null;

// In the page: a client of one node, and the contract.
function prepare({ url, format, contract }) {
  const { GrpcWebClientBase, MethodDescriptor, MethodType } = globalThis.grpcWeb;
  const types = globalThis.protobuf.Root.fromJSON(contract);
  const client = new GrpcWebClientBase({ format });
  const path = (method) => `${url}/broadcast.edge.v1.Edge/${method}`;
  function describe(method, kind) {
    const [Request, Response] = ["Request", "Response"].map((end) => types.lookupType(`broadcast.edge.v1.${method}${end}`));
    return new MethodDescriptor(
      `/broadcast.edge.v1.Edge/${method}`,
      kind,
      Object,
      Object,
      (message) => Request.encode(Request.fromObject(message)).finish(),
      (bytes) => Response.toObject(Response.decode(new Uint8Array(bytes)), { longs: Number, bytes: String }),
    );
  }
  globalThis.call = ({ method, message, metadata }) =>
    new Promise((resolve) => {
      client.rpcCall(path(method), message, metadata ?? {}, describe(method, MethodType.UNARY), (error, response) =>
        resolve(error ? { failed: error.code } : response),
      );
    });
  globalThis.subscribe = ({ message, metadata }) => {
    const method = describe("Subscribe", MethodType.SERVER_STREAMING);
    const stream = client.serverStreaming(path("Subscribe"), message, metadata ?? {}, method);
    stream.on("data", ({ events }) => (events ?? []).forEach((told) => globalThis.tell("event", { told })));
    stream.on("error", ({ code, message }) => globalThis.tell("failed", { code, message }));
  };
}

tell("launched");
await serve({
  // A page of one node whose client talks to another one.
  async open({ from, url, format }) {
    page = await browser.newPage();
    await page.goto(from);
    await page.exposeFunction("tell", tell);
    await page.addScriptTag({ path: "node_modules/protobufjs/dist/protobuf.min.js" });
    await page.addScriptTag({ content: `{ const exports = globalThis.grpcWeb = {}; ${library} }` });
    await page.evaluate(prepare, { url, format, contract: contracts.toJSON() });
  },
  call: (fields) => page.evaluate((given) => globalThis.call(given), fields),
  subscribe: (fields) => page.evaluate((given) => globalThis.subscribe(given), fields),
  close: () => page.close(),
});
await browser.close();
