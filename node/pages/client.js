"use strict";

// A client of the node's plain forms: /ws (JSON messages both ways) or /sse (EventSource, publishing by
// POST). It reconnects with full jitter and goes on from the position it had in each channel.

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 20_000;
const LATENCY_MAX_MS = 30_000;
const EVENTS = ["connected", "subscribed", "publication", "unsubscribed", "error", "disconnect"];

/** The codes, of the protocol or of HTTP, after which coming back makes no sense. */
function isFinal(code) {
  return (code >= 400 && code < 500) || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
}

/** One WebSocket to /ws. `heard` gets every message, `ended` the reason, once. */
class SocketLink {
  constructor(channels, { opened, heard, ended }) {
    this.socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws`);
    this.waiting = new Map();
    this.lastId = 0;
    this.socket.onopen = () => {
      opened();
      for (const [name, channel] of channels) this.subscribe(name, channel);
    };
    this.socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      this.settle(message);
      heard(message);
    };
    this.socket.onclose = ({ code, reason }) => {
      for (const { reject } of this.waiting.values()) reject(new Error("the connection ended"));
      ended({ code, reason: reason || "connection lost" });
    };
  }

  subscribe(name, channel) {
    const position = channel.epoch ? { recover: { epoch: channel.epoch, offset: channel.offset } } : {};
    this.send({ type: "subscribe", channel: name, ...position });
  }

  unsubscribe(name) {
    this.send({ type: "unsubscribe", channel: name });
  }

  publish(channel, data) {
    if (this.socket.readyState !== WebSocket.OPEN) return Promise.reject(new Error("not connected"));
    const id = ++this.lastId;
    this.send({ type: "publish", channel, data, id });
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  settle(message) {
    const waiting = this.waiting.get(message.id);
    if (!waiting) return;
    this.waiting.delete(message.id);
    if (message.type === "error") waiting.reject(new Error(`${message.message} (${message.code})`));
    else waiting.resolve();
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  close() {
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
  }
}

/** Where channels stand, as the node writes it into the ids of events: EPOCH:CHANNEL=OFFSET;... */
function eventId(channels) {
  return [...channels]
    .filter(([, { epoch }]) => epoch)
    .map(([name, { epoch, offset }]) => `${encodeURIComponent(epoch)}:${encodeURIComponent(name)}=${offset}`)
    .join(";");
}

/** Why an event stream is refused: an EventSource is not told, so the same is asked for once more. */
async function refusal(url) {
  const asked = new AbortController();
  try {
    const response = await fetch(url, { signal: asked.signal });
    if (response.ok) return { code: 0, reason: "refused" };
    return { code: response.status, reason: (await response.text()).trim() };
  } catch {
    return { code: 0, reason: "the node does not answer" };
  } finally {
    asked.abort();
  }
}

/**
 * One EventSource to /sse. The channels and where they stand are in its address; when the connection is
 * lost, the browser itself reconnects and recovers.
 */
class EventSourceLink {
  constructor(channels, { opened, heard, ended, retrying }) {
    const query = new URLSearchParams([...channels.keys()].map((name) => ["channel", name]));
    const since = eventId(channels);
    if (since) query.set("last_event_id", since);
    const url = `/sse?${query}`;
    this.closed = false;
    this.source = new EventSource(url);
    this.source.onopen = opened;
    const hear = ({ data }) => data && heard(JSON.parse(data));
    for (const name of EVENTS) this.source.addEventListener(name, hear);
    this.source.onmessage = hear;
    this.source.onerror = async ({ data }) => {
      if (data) return; // an `error` event of the server, heard above
      if (this.source.readyState !== EventSource.CLOSED) {
        retrying();
        return;
      }
      const why = await refusal(url);
      if (!this.closed) ended(why);
    };
  }

  async publish(channel, data) {
    const response = await fetch("/api/publish", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ channel, data }),
    });
    if (response.status === 401) throw new Error("EventSource cannot publish, and the API wants its key");
    const { error } = await response.json();
    if (error) throw new Error(`${error.message} (${error.code})`);
  }

  close() {
    this.closed = true;
    this.source.close();
  }
}

/** What the page talks to: channels and their positions outlive every link. */
class Client {
  /**
   * @param {function(string, object): void} tell called with what happened: "state", "message", "ended".
   */
  constructor(tell) {
    this.tell = tell;
    this.channels = new Map();
    this.transport = null;
    this.link = null;
    this.attempt = 0;
    this.sent = [];
  }

  use(transport) {
    this.transport = transport;
    this.reopen();
  }

  subscribe(name) {
    if (this.channels.has(name)) return;
    const channel = { epoch: "", offset: 0, state: "asked", recovered: undefined };
    this.channels.set(name, channel);
    if (this.link instanceof SocketLink) this.link.subscribe(name, channel);
    if (this.transport === "sse") this.reopen();
  }

  unsubscribe(name) {
    this.channels.delete(name);
    if (this.link instanceof SocketLink) this.link.unsubscribe(name);
    if (this.transport === "sse") this.reopen();
  }

  publish(channel, data) {
    if (!this.link) return Promise.reject(new Error("not connected"));
    this.sent.push({ channel, text: JSON.stringify(data), at: performance.now() });
    return this.link.publish(channel, data);
  }

  /** Milliseconds since this tab published what it now receives; undefined for what others published. */
  latency({ channel, data }) {
    const now = performance.now();
    const text = JSON.stringify(data);
    this.sent = this.sent.filter(({ at }) => now - at < LATENCY_MAX_MS);
    const found = this.sent.findIndex((sent) => sent.channel === channel && sent.text === text);
    return found < 0 ? undefined : now - this.sent.splice(found, 1)[0].at;
  }

  /** Drop the link as a bad network would, to see it come back. */
  cut() {
    if (!this.link) return;
    this.link.close();
    this.ended({ code: 0, reason: "cut here" });
  }

  reopen() {
    clearTimeout(this.timer);
    this.link?.close();
    this.link = null;
    if (this.transport === "sse" && !this.channels.size) {
      this.tell("state", { state: "idle", text: "EventSource needs a channel" });
      return;
    }
    this.tell("state", { state: "opening", text: "connecting" });
    const Link = this.transport === "ws" ? SocketLink : EventSourceLink;
    this.link = new Link(this.channels, {
      opened: () => this.tell("state", { state: "open", text: "connected" }),
      heard: (message) => this.heard(message),
      ended: (why) => this.ended(why),
      retrying: () => this.tell("state", { state: "waiting", text: "the browser reconnects" }),
    });
  }

  heard(message) {
    const channel = this.channels.get(message.channel);
    if (message.type === "subscribed") this.attempt = 0;
    if (channel && message.type === "subscribed") {
      // After a recovery the missed publications follow and move the offset on; the answer's own is old.
      const { epoch = "", offset = 0, recovered } = message;
      Object.assign(channel, { epoch, offset, recovered, state: "subscribed" });
    } else if (channel && message.type === "publication") {
      if (message.offset) channel.offset = message.offset;
    } else if (channel && message.type === "unsubscribed" && message.code) {
      channel.state = "unsubscribed";
      if (message.code >= 2500) this.link.subscribe?.(message.channel, channel);
    } else if (channel && message.type === "error") {
      channel.state = message.message;
    }
    this.tell("message", message);
  }

  ended({ code, reason }) {
    this.link = null;
    for (const channel of this.channels.values()) channel.state = isFinal(code) ? "refused" : "waiting";
    if (isFinal(code)) {
      this.tell("ended", { code, reason });
      this.tell("state", { state: "refused", text: `${reason} (${code})` });
      return;
    }
    const delay = Math.random() * Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.attempt++);
    this.timer = setTimeout(() => this.reopen(), delay);
    this.tell("ended", { code, reason, delay });
    this.tell("state", { state: "waiting", text: `${reason}; again in ${(delay / 1000).toFixed(1)} s` });
  }
}
