// Lets two hundred contacts in with a client that was generated from the API's description: by batches, and singly.

import { client } from "./api/client.gen.ts";
import { enterContact, enterContacts, listScenarios, publishScenario } from "./api/sdk.gen.ts";
import type { Entry } from "./api/types.gen.ts";

client.setConfig({ baseUrl: process.env.SCENARIO_API, auth: process.env.SCENARIO_API_KEY, throwOnError: true });

const source = "scenario: many\ntrigger: segment\nsteps:\n  - wait: 1d\n";
const { data: published } = await publishScenario({ path: { name: "many" }, body: { source } });
const { data: scenarios } = await listScenarios({ query: { limit: 10 } });
console.log(published?.version, scenarios?.items.map((item) => item.scenario).join());

const entries: Entry[] = Array.from({ length: 200 }, (_, index) => ({
  scenario: "many",
  contact: { id: index, language: "fr" },
  trigger: { type: "segment" },
}));

let started = 0;
for (let first = 0; first < 160; first += 40) {
  const { data } = await enterContacts({
    body: entries.slice(first, first + 40),
    headers: { "Idempotency-Key": `batch-${first}` },
  });
  started += data?.accepted ?? 0;
}

const others = entries.slice(160);
const enterSome = async () => {
  for (let entry = others.pop(); entry !== undefined; entry = others.pop()) {
    const { data, response } = await enterContact({ body: entry });
    if (response?.status === 202 && data && "journey" in data) started += 1;
  }
};
await Promise.all(Array.from({ length: 10 }, enterSome));
console.log(started);
