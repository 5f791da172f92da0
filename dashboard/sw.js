// Keeps the page, and what it asked last, for times when the server can't be reached.
//
// Promises: an answer of the server always comes first; what is answered from here says so and since when
// (`clickwire-stored`, in milliseconds since the Unix epoch); of the API only what is in KEPT is kept, never what is
// asked with a token; whatever was kept for a person is deleted when somebody signs in or out, or is not signed in
// any more, and is not shown after MAX_AGE_MS.
"use strict";

const PAGES = "clickwire-pages-";
const ANSWERS = "clickwire-answers";
const STORED = "clickwire-stored";
const SESSION = "/api/v1/session";

// Addresses of the first program; all others are the second's.
const FIRST = ["/"];
// Numbers and names. Clicks, accounts, keys and records of changes are not kept on a disk.
const KEPT = /^\/api\/v1\/(session|settings|advertisers|campaigns|ads|analytics\/[a-z]+|live\/poll|alerts)$/;

const MAX_AGE_MS = 12 * 3_600_000;
const MAX_ANSWERS = 200;
const MAX_CHARACTERS = 2_000_000;
// A server that has not answered by then may be frozen; what is kept is better than nothing.
const PATIENCE_MS = 5_000;

// The last question who is signed in, or the last page, had no answer in time.
let isAway = false;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("message", (event) => {
  const { page, answer } = event.data ?? {};
  if (page) event.waitUntil(keepPage(page));
  if (answer) event.waitUntil(keepAnswer(new URL(answer.url, self.location), answer.text));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (url.pathname === SESSION && request.method !== "GET") return event.respondWith(change(request));
  // What is to be the server's own answer says so.
  if (request.method !== "GET" || request.cache === "no-store") return;
  if (request.mode === "navigate") {
    if (!/^\/(api|r)\//.test(url.pathname)) event.respondWith(open(request, url.pathname));
  } else if (/-[0-9a-f]{16}\.[a-z]+$/.test(url.pathname)) {
    event.respondWith(file(request));
  } else if (KEPT.test(url.pathname) && !request.headers.has("authorization")) {
    event.respondWith(ask(event, request, url));
  }
});

// A program with all its files. Its index comes last: an index whose files are not there would show nothing.
async function keepPage({ program, index, files }) {
  const cache = await caches.open(PAGES + program);
  const known = async () => (await cache.keys()).map(({ url }) => new URL(url).pathname);
  const there = await known();
  await Promise.all(files.filter((name) => !there.includes(name)).map((name) => cache.add(name)));
  const response = await fetch(index);
  if (!response.ok) return;
  await cache.put(`/${program}`, response);
  const wanted = [`/${program}`, ...files];
  await Promise.all((await known()).filter((name) => !wanted.includes(name)).map((name) => cache.delete(name)));
}

async function open(request, path) {
  const program = FIRST.includes(path) ? "app" : "staff";
  const kept = () => caches.match(`/${program}`, { cacheName: PAGES + program });
  return first(fetch(request), kept, true);
}

async function file(request) {
  return (await caches.match(request)) ?? fetch(request);
}

// Who signs in or out is somebody else from then on.
async function change(request) {
  const response = await fetch(request);
  if (response.ok) await caches.delete(ANSWERS);
  return response;
}

async function ask(event, request, url) {
  const answer = fetch(request);
  const { pathname } = url;
  const kept = answer.then(async (response) => {
    if (response.status === 401 && pathname === SESSION) await caches.delete(ANSWERS);
    // Polls are only kept whole, by the page itself.
    if (!response.ok || pathname.endsWith("/poll")) return;
    await keepAnswer(url, await response.clone().text());
  });
  // A clone is made before the page reads the answer.
  event.waitUntil(kept.catch(() => {}));
  return first(answer, () => find(url), pathname === SESSION);
}

// The network's answer; what is kept, if there is none, or only a proxy's word that there is none. What is quick on a
// server that is well is waited for a while only, and so is everything else on one that did not answer that.
async function first(network, kept, isQuick) {
  const waits = [network.catch(() => null)];
  if (isQuick || isAway) waits.push(new Promise((resolve) => setTimeout(resolve, PATIENCE_MS)));
  const answer = await Promise.race(waits);
  const isAnswer = answer && answer.status !== 502 && answer.status !== 504;
  if (isQuick || isAnswer) isAway = !isAnswer;
  return (isAnswer ? null : await kept()) ?? (answer || network);
}

// A question about the last hours is the same one a minute later: it is known by its length. One since a midnight, in
// whichever zone, has its start.
function key(url, now) {
  const key = new URL(url);
  key.searchParams.delete("since");
  const start = Date.parse(key.searchParams.get("start_time"));
  if (start % 900_000 && !key.searchParams.has("end_time")) {
    key.searchParams.set("start_time", `last ${Math.round((now - start) / 60_000)} minutes`);
  }
  return key;
}

async function keepAnswer(url, text) {
  if (text.length > MAX_CHARACTERS) return;
  const now = Date.now();
  const headers = { "content-type": "application/json", [STORED]: String(now) };
  const cache = await caches.open(ANSWERS);
  await cache.put(key(url, now), new Response(text, { headers }));
  const keys = await cache.keys();
  await Promise.all(keys.slice(0, Math.max(0, keys.length - MAX_ANSWERS)).map((old) => cache.delete(old)));
}

async function find(url) {
  const now = Date.now();
  const response = await caches.match(key(url, now), { cacheName: ANSWERS });
  const at = Number(response?.headers.get(STORED));
  return response && now - at < MAX_AGE_MS ? response : undefined;
}
