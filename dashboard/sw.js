// Keeps the page, and what it asked last, for times when the server can't be reached.
//
// Promises: an answer of the server always comes first; what is answered from here says so and since when
// (`clickwire-stored`, in milliseconds since the Unix epoch); of the API only what is in KEPT is kept, never what is
// asked with a token; what was kept is deleted at each sign-in, sign-out and refusal, with answers that are still under
// way then, and is not shown after MAX_AGE_MS.
"use strict";

const PAGES = "clickwire-pages-";
const ANSWERS = "clickwire-answers";
const STORED = "clickwire-stored";
const SESSION = "/api/v1/session";

// Addresses of the first program; all others are the second's.
const FIRST = ["/"];
// Numbers, and names of advertisers, campaigns and ads. Incidents, clicks, accounts, keys and records of changes are not
// kept on a disk.
const KEPT = /^\/api\/v1\/(session|settings|advertisers|campaigns|ads|analytics\/[a-z]+|live\/poll)$/;

const MAX_AGE_MS = 12 * 3_600_000;
const MAX_ANSWERS = 200;
const MAX_CHARACTERS = 2_000_000;
// A server that has not answered by then may be frozen; what is kept is better than nothing.
const PATIENCE_MS = 5_000;

// The last question who is signed in, or the last page, had no answer in time.
let isAway = false;
// Grows when answers are deleted: one that was asked before is not kept.
let generation = 0;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("message", (event) => {
  const { page, answer, forgets } = event.data ?? {};
  if (page) event.waitUntil(keepPage(page));
  if (answer) event.waitUntil(keepAnswer(new URL(answer.url, self.location), answer.text, Date.now(), generation));
  if (forgets) event.waitUntil(forget());
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
async function keepPage({ program, index, script, files }) {
  const cache = await caches.open(PAGES + program);
  const known = async () => (await cache.keys()).map(({ url }) => new URL(url).pathname);
  const there = await known();
  await Promise.all(files.filter((name) => !there.includes(name)).map((name) => cache.add(name)));
  const response = await fetch(index);
  // During an upgrade the index may be another version's, which needs other files.
  if (!response.ok || !(await response.clone().text()).includes(script)) return;
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

// After a sign-in or sign-out, answers from before are another person's, whether the server was reached or not.
async function change(request) {
  try {
    return await fetch(request);
  } finally {
    await forget();
  }
}

async function forget() {
  generation += 1;
  await caches.delete(ANSWERS);
}

async function ask(event, request, url) {
  const [now, asked] = [Date.now(), generation];
  const answer = fetch(request);
  const { pathname } = url;
  const kept = answer.then(async (response) => {
    if (response.status === 401) await forget();
    // Polls are only kept whole, by the page itself.
    if (!response.ok || pathname.endsWith("/poll")) return;
    await keepAnswer(url, await response.clone().text(), now, asked);
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
  const isAnswer = answer && !isOfProxy(answer);
  if (isQuick || isAnswer) isAway = !isAnswer;
  return (isAnswer ? null : await kept()) ?? (answer || network);
}

function isOfProxy({ status, headers }) {
  return status === 502 || status === 504 || (status === 503 && !headers.get("content-type")?.includes("json"));
}

// A question without an end is about the last minutes: the same one a minute later. It is known by its length.
function key(url, now) {
  const key = new URL(url);
  key.searchParams.delete("since");
  const start = Date.parse(key.searchParams.get("start_time"));
  if (start && !key.searchParams.has("end_time")) {
    // The page's start is a whole minute.
    key.searchParams.set("start_time", `last ${Math.floor((now - start) / 60_000)} minutes`);
  }
  return key;
}

async function keepAnswer(url, text, now, asked) {
  if (text.length > MAX_CHARACTERS) return;
  const headers = { "content-type": "application/json", [STORED]: String(Date.now()) };
  const cache = await caches.open(ANSWERS);
  const keys = await cache.keys();
  const put = () => cache.put(key(url, now), new Response(text, { headers }));
  const drop = (count) => Promise.all(keys.splice(0, Math.max(0, count)).map((old) => cache.delete(old)));
  await drop(keys.length + 1 - MAX_ANSWERS);
  // A cache that was deleted meanwhile is found by nobody; one that is opened after that is not this one.
  if (asked !== generation) return;
  // The browser has no more room: the older half makes some.
  await put().catch(() => drop(keys.length / 2).then(put));
}

// The page's clock was read before this one, up to a minute before when it asks the same again.
async function find(url) {
  const now = Date.now();
  for (const at of [now, now - 60_000, now + 60_000]) {
    const response = await caches.match(key(url, at), { cacheName: ANSWERS });
    if (response && now - Number(response.headers.get(STORED)) < MAX_AGE_MS) return response;
  }
  return undefined;
}
