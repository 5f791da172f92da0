// A dashboard in forty lines: keeps one view of clicks by minute, and prints its total when it changes.
//
//   VIEWER_TOKEN=… node examples/dashboard.mjs [URL]
//
// `cargo xtask status` prints the demo's VIEWER_TOKEN. Node 20 has no WebSocket of its own, so this reads the
// server-sent events of the same view; a browser's EventSource or WebSocket is told the same messages.
const url = process.argv[2] ?? "http://127.0.0.1:8080";
const token = process.env.VIEWER_TOKEN;
const query = "advertiser_id=adv_001&window_minutes=60&group_by=campaign_id";

/** Absolute counts by minute and group: a message replaces what it names, and nothing is added up. */
const cells = new Map();
let lastEventId = "";

function apply(message) {
  if (message.type === "snapshot") cells.clear();
  for (const cell of message.cells ?? []) cells.set(`${cell.minute}/${cell.group}`, cell);
  const first = Math.floor(Date.now() / 60_000) - 59;
  let valid = 0;
  for (const [key, cell] of cells) {
    if (cell.minute < first) cells.delete(key);
    else valid += cell.valid ?? 0;
  }
  // A delta without cells tells how far the view is counted, and nothing else.
  if (message.type === "delta" && message.cells.length === 0) return;
  console.log(`${message.type}: ${valid} billable clicks in the last hour`);
}

/** Reads events until the connection ends; an event's id is where to go on. */
async function watch() {
  const headers = { authorization: `Bearer ${token}`, ...(lastEventId && { "last-event-id": lastEventId }) };
  const answer = await fetch(`${url}/api/v1/live/sse?${query}`, { headers });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  let text = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    const lines = (text + piece).split("\n");
    text = lines.pop();
    for (const line of lines) {
      if (line.startsWith("id: ")) lastEventId = line.slice(4);
      if (line.startsWith("data: ")) apply(JSON.parse(line.slice(6)));
    }
  }
}

for (;;) {
  await watch().catch((error) => console.error(String(error)));
  await new Promise((again) => setTimeout(again, 1_000 * Math.random() + 500));
}
