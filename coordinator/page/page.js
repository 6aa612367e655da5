// The operator's page: nodes and plans as they are, and the buttons. Rows are kept and only their text is
// changed, so that what has the focus keeps it.
"use strict";

const RETRY_MS = 2000;
const byId = (id) => document.getElementById(id);
const rows = new Map();
const plans = new Map();
let asking = new AbortController();

const NODE_STATES = { SERVING: ["serving", "good"], NOT_READY: ["not ready", "bad"], LEAVING: ["leaving", "warn"] };
const TONES = { RUNNING: "warn", REQUESTED: "warn", CANCELLING: "warn", DONE: "good", FAILED: "bad", SENDING: "warn" };
const ENDED = new Set(["DONE", "FAILED", "CANCELLED"]);

function say(text, tone = "") {
  byId("result").textContent = text;
  byId("result").dataset.tone = tone;
}

function status(state, text) {
  byId("status").dataset.state = state;
  byId("status-text").textContent = text;
  for (const section of document.querySelectorAll("section")) section.classList.toggle("stale", state !== "live");
}

function text(element, selector, value) {
  const found = element.querySelector(selector);
  if (found.textContent !== value) found.textContent = value;
  return found;
}

function copyOf(template) {
  return byId(template).content.firstElementChild.cloneNode(true);
}

// Keeps one element per key in `place`, in the order of `items`, and lets `fill` write into it.
function keep(known, place, items, keyOf, make, fill) {
  const wanted = new Set(items.map(keyOf));
  for (const [key, element] of known) {
    if (!wanted.has(key)) {
      element.remove();
      known.delete(key);
    }
  }
  items.forEach((item, index) => {
    const key = keyOf(item);
    if (!known.has(key)) known.set(key, make(key));
    const element = known.get(key);
    if (place.children[index] !== element) place.insertBefore(element, place.children[index] ?? null);
    fill(element, item);
  });
}

// --- nodes -------------------------------------------------------------------------------------------

function makeRow(name) {
  const row = copyOf("node-template");
  row.querySelector(".drain").addEventListener("click", () => askDrain(name));
  row.querySelector(".undrain").addEventListener("click", () => act("/v1/undrain", { node: name }, `${name} goes back into rotation`));
  row.querySelector(".drain").setAttribute("aria-label", `Drain ${name}`);
  row.querySelector(".undrain").setAttribute("aria-label", `Undrain ${name}`);
  return row;
}

function fillRow(row, node) {
  const forNats = Boolean(node.leaving?.cut_off);
  const [state, tone] = node.broker_outage && (forNats || node.state === "NOT_READY") ? ["cut off", "bad"] : (NODE_STATES[node.state] ?? [node.state, ""]);
  text(row, ".name", node.name);
  text(row, ".state", node.leaving?.phase === "EMPTY" && !forNats ? "drained" : state).dataset.tone = tone;
  text(row, ".reason", node.reason);
  const share = node.capacity ? node.connections / node.capacity : 0;
  const meter = row.querySelector("meter");
  meter.value = share;
  meter.high = 0.9;
  meter.title = `${Math.round(share * 100)} % of its capacity`;
  text(row, ".load", `${node.connections.toLocaleString()} of ${node.capacity.toLocaleString()}`);
  text(row, ".rate", node.connect_rate.toFixed(node.connect_rate < 10 ? 1 : 0));
  text(row, ".cpu", `${Math.round(node.cpu * 100)} %`);
  text(row, ".lag", `${(node.loop_lag_s * 1000).toFixed(1)} ms`);
  text(row, ".memory", `${Math.round(node.memory_bytes / 2 ** 20)} MiB`);
  text(row, ".version", node.version);
  const leaving = node.state === "LEAVING";
  row.querySelector(".drain").hidden = leaving && !forNats;
  row.querySelector(".undrain").hidden = !leaving || Boolean(node.leaving?.on_its_own);
}

// --- plans -------------------------------------------------------------------------------------------

function makePlan(id) {
  const item = copyOf("plan-template");
  item.querySelector(".cancel").addEventListener("click", () => act(`/v1/plans/${encodeURIComponent(id)}/cancel`, {}, `plan ${id} is being cancelled`));
  item.querySelector(".cancel").setAttribute("aria-label", `Cancel plan ${id}`);
  item.steps = new Map();
  return item;
}

function fillPlan(item, plan) {
  text(item, ".kind", plan.kind === "REBALANCE" ? "Rebalance" : plan.cut_off ? "Cut off from NATS" : "Drain");
  text(item, ".id", plan.id.slice(0, 8));
  text(item, "h3 .state", plan.state.toLowerCase()).dataset.tone = TONES[plan.state] ?? "";
  text(item, ".plan-note", plan.note);
  item.querySelector(".cancel").hidden = ENDED.has(plan.state) || plan.state === "CANCELLING" || plan.on_its_own;
  keep(item.steps, item.querySelector(".steps"), plan.steps, (step) => step.node, () => copyOf("step-template"), (element, step) => fillStep(element, step, plan));
}

function fillStep(element, step, plan) {
  text(element, ".name", step.node);
  text(element, ".state", step.state.toLowerCase()).dataset.tone = TONES[step.state] ?? "";
  const total = plan.kind === "REBALANCE" ? step.count : Math.max(step.connections_before, step.connections);
  const done = plan.kind === "REBALANCE" ? step.sent_away : total - step.connections;
  const progress = element.querySelector("progress");
  progress.value = step.state === "DONE" ? 1 : total ? Math.max(0, Math.min(1, done / total)) : 0;
  progress.setAttribute("aria-label", `${step.node}: share of clients that have gone`);
  const words = [`${Math.max(0, done).toLocaleString()} of ${total.toLocaleString()}`];
  if (step.state === "SENDING") words.push(`${step.rate.toFixed(0)}/s`, `about ${Math.ceil(step.remaining_s)} s left`);
  if (step.state === "WAITING") words.push("waiting until no new client arrives");
  if (step.note) words.push(step.note);
  text(element, ".progress-text", words.join(" · "));
}

// --- what the coordinator says ----------------------------------------------------------------------

function show(news) {
  status("live", "live");
  byId("login").hidden = true;
  byId("forget").hidden = !token.get();
  byId("leader").textContent = news.leader?.name ? `${news.leader.name} leads` : "nobody leads at the moment";
  const nodes = [...news.nodes].sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  const sessions = nodes.reduce((sum, node) => sum + node.connections, 0);
  byId("totals").textContent = `${nodes.length} · ${sessions.toLocaleString()} sessions`;
  byId("no-nodes").hidden = nodes.length > 0;
  keep(rows, document.querySelector("#nodes tbody"), nodes, (node) => node.name, makeRow, fillRow);
  const current = [...news.plans].sort((one, other) => ENDED.has(one.state) - ENDED.has(other.state) || other.requested_at - one.requested_at).slice(0, 10);
  byId("no-plans").hidden = current.length > 0;
  keep(plans, byId("plans"), current, (plan) => plan.id, makePlan, fillPlan);
}

async function follow() {
  for (;;) {
    try {
      await watch("/v1/watch", show, asking.signal);
    } catch (error) {
      if (error.status === 401) {
        await askToken();
      } else if (error.name !== "AbortError") {
        status("away", `not up to date: ${error.message}`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    if (asking.signal.aborted) asking = new AbortController();
  }
}

// --- what the operator does ---------------------------------------------------------------------------

function askToken() {
  const wrong = Boolean(token.get());
  token.forget();
  byId("forget").hidden = true;
  byId("login").hidden = false;
  byId("login-note").textContent = wrong ? "That was not it. Try again." : "It is kept in this tab until you close it.";
  status("waiting", "waiting for the token");
  byId("token").focus();
  return new Promise((resolve) => {
    byId("login").addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        token.set(byId("token").value.trim());
        byId("token").value = "";
        resolve();
      },
      { once: true },
    );
  });
}

async function act(path, request, done) {
  try {
    await post(path, request);
    say(done);
  } catch (error) {
    say(error.message, "bad");
  }
}

function askDrain(name) {
  byId("drain-node").textContent = name;
  byId("drain").returnValue = "";
  byId("drain-form").reset();
  byId("drain").showModal();
}

byId("drain-close").addEventListener("click", () => byId("drain").close());
byId("drain-form").addEventListener("submit", () => {
  const node = byId("drain-node").textContent;
  const request = {
    nodes: [node],
    deadline_s: Number(byId("drain-deadline").value),
    stop: byId("drain-stop").checked,
    force: byId("drain-force").checked,
  };
  act("/v1/drain", request, `${node} is being drained`);
});
byId("forget").addEventListener("click", () => {
  token.forget();
  asking.abort();
});

follow();
