// The panel that watches the cluster through the server API. Without a key that works only where the API is
// open, as it is in the development mode.

const CLUSTER_INTERVAL_MS = 2_000;

function uptime(seconds = 0) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

async function askCluster() {
  const response = await fetch("/api/info", { method: "POST", body: "{}" });
  if (response.status === 401) {
    throw new Error("This node's API wants a key. The panel works in the insecure development mode only.");
  }
  const { result, error } = await response.json();
  if (error) throw new Error(`The node answered: ${error.message} (${error.code}).`);
  return result.nodes;
}

function showNodes(table, nodes) {
  const rows = nodes
    .sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }))
    .map((node) => {
      const row = document.createElement("tr");
      const { name, num_clients = 0, num_subs = 0, num_channels = 0 } = node;
      for (const value of [name, num_clients, num_subs, num_channels, uptime(node.uptime)]) {
        row.insertCell().textContent = value;
      }
      return row;
    });
  table.tBodies[0].replaceChildren(...rows);
}

/** Ask again and again while the page is looked at. */
async function watchCluster(table, note) {
  for (;;) {
    if (!document.hidden) {
      try {
        showNodes(table, await askCluster());
        table.hidden = false;
        note.textContent = "";
      } catch (error) {
        table.hidden = true;
        note.textContent = error instanceof TypeError ? "This node does not answer." : error.message;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, CLUSTER_INTERVAL_MS));
  }
}

function showPeers(paragraph) {
  const peers = document.querySelector("meta[name=peers]").content.split(" ");
  const others = peers.filter((peer) => peer && new URL(peer).origin !== location.origin);
  for (const peer of others) {
    const link = document.createElement("a");
    link.href = peer;
    link.target = "_blank";
    link.textContent = new URL(peer).host;
    paragraph.append(link);
  }
  paragraph.hidden = !others.length;
}
