// Posts one click, again after a failure, and shows the answer.
//
//   npx tsc --target es2022 --module nodenext examples/post_click.ts && INGEST_KEY=… node examples/post_click.js [URL]
//
// Node 22.18 and newer runs it as it is: INGEST_KEY=… node examples/post_click.ts [URL]. `cargo xtask status` prints the
// demo's INGEST_KEY.
declare const process: { argv: string[]; env: Record<string, string | undefined>; exitCode: number };

interface Click {
  click_id: string;
  advertiser_id: string;
  campaign_id: string;
  ad_id: string;
  user_id?: string;
  ip_address?: string;
  user_agent?: string;
}

interface Accepted {
  success: true;
  click_id: string;
  is_duplicate: boolean;
  is_fraudulent: boolean;
}

const ATTEMPTS = 6;
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Returns the answer; tries again while the server asks for it or can't be reached. */
async function post(url: string, key: string, click: Click): Promise<Accepted> {
  for (let attempt = 1; ; attempt++) {
    let wait = Math.random() * 200 * 2 ** attempt;
    try {
      const answer = await fetch(`${url}/api/v1/clicks`, {
        method: "POST",
        headers: { "x-api-key": key, "content-type": "application/json" },
        body: JSON.stringify(click),
        signal: AbortSignal.timeout(10_000),
      });
      if (answer.ok) return (await answer.json()) as Accepted;
      // 429 and 503 say when to come again; every other refusal is final.
      const refusal = new Error(`${answer.status}: ${await answer.text()}`, { cause: "refused" });
      if (![429, 503].includes(answer.status) || attempt === ATTEMPTS) throw refusal;
      wait += 1_000 * Number(answer.headers.get("retry-after") ?? 0);
    } catch (error) {
      if ((error as Error).cause === "refused" || attempt === ATTEMPTS) throw error;
    }
    await pause(wait);
  }
}

// The id makes the post repeatable: sent again with the same id, it is the same click and counted once.
const click: Click = {
  click_id: crypto.randomUUID(),
  advertiser_id: "adv_001",
  campaign_id: "camp_001",
  ad_id: "ad_001",
  // Your server posts for a person, so it says whose browser it was: without these the click would seem to be made by
  // this program, which is a robot and not billed.
  user_id: `user-${crypto.randomUUID().slice(0, 8)}`,
  ip_address: "203.0.113.7",
  user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
};

post(process.argv[2] ?? "http://127.0.0.1:8080", process.env["INGEST_KEY"] ?? "", click).then(
  (answer) => console.log(JSON.stringify(answer)),
  (error) => {
    console.error(String(error));
    process.exitCode = 1;
  },
);
