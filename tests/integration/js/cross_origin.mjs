// The SDK in pages of Chromium whose nodes are other origins. Arguments: the browser's program.

import { chromium } from "playwright-core";
import { serve, tell } from "./commands.mjs";

const WAIT_MS = 15_000;
const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox"] });

// In a page of `page`, has a client subscribe, publish and read it again; returns what it did it over.
async function converse({ page: url, transports, emulation, channel }) {
  const page = await browser.newPage();
  page.setDefaultTimeout(WAIT_MS);
  try {
    await page.goto(url);
    await page.addScriptTag({ path: "node_modules/centrifuge/dist/centrifuge.js" });
    return await page.evaluate(talk, { transports, emulation, channel, waitMs: WAIT_MS });
  } finally {
    await page.close();
  }
}

function talk({ transports, emulation, channel, waitMs }) {
  return new Promise((resolve, reject) => {
    const client = new globalThis.Centrifuge(transports, { emulationEndpoint: emulation });
    const subscription = client.newSubscription(channel);
    let transport = "";
    const end = (result) => (client.disconnect(), resolve(result));
    client.on("connected", (context) => (transport = context.transport));
    client.on("error", ({ error }) => end({ transport, error: error.message }));
    subscription.on("subscribed", () => subscription.publish({ text: "grüße" }));
    subscription.on("publication", ({ data }) => end({ transport, data }));
    subscription.subscribe();
    client.connect();
    setTimeout(() => reject(new Error("nothing came")), waitMs);
  });
}

tell("launched");
await serve({ converse });
await browser.close();
