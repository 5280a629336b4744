import { setTimeout as sleep } from "node:timers/promises";

const LATER = new Set([408, 429, 500, 502, 503, 504]);

/** Tells a journey. Returns false where it is over, or the address has expired. */
export async function tell(address, name, properties, id, { tries = 5, pause = 1000 } = {}) {
  for (let attempt = 1; attempt <= tries; attempt++) {
    let status = "no answer"; // and never the address: it is secret
    let wait = 0;
    try {
      const answer = await fetch(address, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name, properties, id }),
        redirect: "error",
        signal: AbortSignal.timeout(15_000),
      });
      await answer.arrayBuffer();
      status = answer.status;
      wait = 1000 * Number(answer.headers.get("retry-after") ?? 0);
    } catch {
      // not reached: try again
    }
    if (status === 202) return true;
    if (status === 410) return false;
    if (attempt === tries || !(status === "no answer" || LATER.has(status))) {
      throw new Error(`the journey was not told: ${status}`);
    }
    await sleep(Math.max(wait, pause * 2 ** attempt));
  }
}
