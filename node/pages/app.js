// The page: what the client says becomes rows and marks, what the visitor does becomes calls of the client.
// Everything that came over the network is written with textContent, never as HTML.

const LOG_ROWS_MAX = 200;
const byId = (id) => document.getElementById(id);
let paused = false;
let received = 0;

function clock(date = new Date()) {
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

function log({ kind = "event", channel = "", offset, text, latency }) {
  if (paused) return;
  const row = document.createElement("li");
  row.className = kind;
  const cell = (tag, name, value) => {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = value;
    row.append(element);
  };
  cell("time", "time", clock());
  cell("span", "channel", channel);
  cell("span", "offset", offset ? `#${offset}` : "");
  cell("span", "text", text);
  cell("span", "latency", latency === undefined ? "" : `${latency.toFixed(1)} ms`);
  byId("log").prepend(row);
  while (byId("log").children.length > LOG_ROWS_MAX) byId("log").lastElementChild.remove();
}

/** Whether a reconnect lost something, in words. */
function verdict({ recovered }) {
  if (recovered === undefined) return { kind: "event", text: "" };
  return recovered ? { kind: "good", text: "recovered" } : { kind: "bad", text: "not recovered" };
}

function showMessage(message) {
  const { type, channel, offset } = message;
  if (type === "publication") {
    received++;
    log({ kind: "publication", channel, offset, text: JSON.stringify(message.data), latency: client.latency(message) });
  } else if (type === "subscribed") {
    const { kind, text } = verdict(message);
    log({ kind, channel, offset, text: text ? `subscribed: ${text}` : "subscribed" });
  } else if (type === "connected") {
    log({ text: `connected as ${message.client}` });
  } else if (type === "unsubscribed") {
    log({ channel, text: `unsubscribed: ${message.reason}` });
  } else if (type === "error") {
    log({ kind: "bad", channel, text: `${message.message} (${message.code})` });
  } else if (type === "disconnect") {
    log({ kind: "bad", text: `the node says goodbye: ${message.reason} (${message.code})` });
  }
  showChannels();
}

function showChannels() {
  const items = [...client.channels].map(([name, channel]) => {
    const item = byId("channel-template").content.firstElementChild.cloneNode(true);
    item.querySelector(".name").textContent = item.querySelector(".name").title = name;
    item.querySelector(".position").textContent = channel.epoch ? `#${channel.offset}` : "";
    item.querySelector(".position").title = channel.epoch ? `epoch ${channel.epoch}` : "keeps no history";
    const mark = item.querySelector(".verdict");
    const { kind, text } = channel.state === "subscribed" ? verdict(channel) : { kind: "warn", text: channel.state };
    mark.classList.add(kind);
    mark.textContent = text;
    item.querySelector("button").onclick = () => {
      client.unsubscribe(name);
      rememberChannels();
    };
    return item;
  });
  byId("channels").replaceChildren(...items);
}

/** The channels are kept in the address, so that a reload and a second tab have them. */
function rememberChannels() {
  const names = [...client.channels.keys()];
  history.replaceState(null, "", `#${names.map(encodeURIComponent).join(",")}`);
  byId("channel-names").replaceChildren(...names.map((name) => new Option(name)));
  showChannels();
}

function happened(what, detail) {
  if (what === "message") {
    showMessage(detail);
  } else if (what === "state") {
    byId("status").dataset.state = detail.state;
    byId("status-text").textContent = detail.text;
  } else {
    const again = detail.delay === undefined ? "for good" : `again in ${(detail.delay / 1000).toFixed(1)} s`;
    log({ kind: "bad", text: `connection ended: ${detail.reason} (${detail.code}), ${again}` });
    showChannels();
  }
}

async function publish(event) {
  event.preventDefault();
  const result = byId("publish-result");
  const say = (kind, text) => Object.assign(result, { className: kind, textContent: text });
  let data;
  try {
    data = JSON.parse(byId("publish-data").value);
  } catch (error) {
    say("bad", `Not JSON: ${error.message}`);
    return;
  }
  say("", "");
  const began = performance.now();
  try {
    await client.publish(byId("publish-channel").value, data);
    say("good", `accepted in ${(performance.now() - began).toFixed(1)} ms`);
  } catch (error) {
    say("bad", error.message);
  }
}

const client = new Client(happened);

byId("subscribe").onsubmit = (event) => {
  event.preventDefault();
  client.subscribe(byId("subscribe-channel").value);
  byId("subscribe-channel").value = "";
  rememberChannels();
};
byId("publish").onsubmit = publish;
byId("publish-data").onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("publish").requestSubmit();
};
byId("transports").onchange = (event) => client.use(event.target.value);
byId("cut").onclick = () => client.cut();
byId("clear").onclick = () => byId("log").replaceChildren();
byId("pause").onclick = () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", paused);
  byId("pause").textContent = paused ? "Go on" : "Pause";
};
setInterval(() => {
  byId("rate").textContent = received ? `${received} per second` : "";
  received = 0;
}, 1000);

const remembered = location.hash.slice(1).split(",").filter(Boolean).map(decodeURIComponent);
for (const name of remembered.length ? remembered : ["news"]) client.subscribe(name);
rememberChannels();
client.use(byId("transports").querySelector(":checked").value);
watchCluster(byId("nodes"), byId("cluster-note"));
showPeers(byId("peers"));
