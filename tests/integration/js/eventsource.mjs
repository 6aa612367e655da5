// An EventSource, driven by commands: node eventsource.mjs URL

import { EventSource } from "eventsource";
import { serve, tell } from "./commands.mjs";

const source = new EventSource(process.argv[2]);
const states = ["CONNECTING", "OPEN", "CLOSED"];
const text = ({ data, lastEventId }) => ({ ...JSON.parse(data), id: lastEventId });

source.addEventListener("open", () => tell("open"));
// On /sse every message is a publication, on /connection/uni_sse any push.
source.addEventListener("message", (event) => tell("publication", text(event)));
for (const name of ["connected", "subscribed", "unsubscribed", "disconnect"]) {
  source.addEventListener(name, (event) => tell(name, text(event)));
}
source.addEventListener("error", ({ code }) => tell("error", { code: code ?? 0, state: states[source.readyState] }));

await serve({ state: () => states[source.readyState] });
