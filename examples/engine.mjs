// An automation engine in JavaScript that knows Temporal and nothing else of this project.
//
// It does what engine.py does, with Temporal's client for Node.js: lets a contact into a scenario and tells an event,
// in plain JSON. Put it into a project of yours, and:
//
//     npm install @temporalio/client @temporalio/common
//     node engine.mjs entries/post-purchase.json
//
// Where Temporal is, TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and TEMPORAL_API_KEY say; without them, on this machine.

import { readFileSync } from "node:fs";
import { Client, Connection } from "@temporalio/client";
import { defineSearchAttributeKey, SearchAttributeType, TypedSearchAttributes } from "@temporalio/common";

const entry = JSON.parse(readFileSync(process.argv[2], "utf8"));

// 1. Connect. The default data converter is the right one: arguments travel as plain JSON ("json/plain").
const apiKey = process.env.TEMPORAL_API_KEY;
const connection = await Connection.connect({
  address: process.env.TEMPORAL_ADDRESS ?? "localhost:7233",
  ...(apiKey ? { apiKey, tls: true } : {}),
});
const client = new Client({ connection, namespace: process.env.TEMPORAL_NAMESPACE ?? "default" });

// 2. The workflow id says who is in what: <scenario>/<contact id>, and /<key> where the scenario's entry has a key (here
//    the order's number). Two starts under one id are one journey: this is what makes retries safe. A "/" in the
//    contact's id is written %2F.
const scenario = entry.scenario.split("@")[0];
const contact = String(entry.contact.id);
const order = entry.trigger.order.external_id;

// 3. Start the workflow type "Journey" on the task queue "journeys", with the entry as its only argument.
const handle = await client.workflow.start("Journey", {
  workflowId: `${scenario}/${contact.replaceAll("/", "%2F")}/${order}`,
  taskQueue: "journeys",
  args: [entry],
  // While one is under way, be given that one; FAIL would raise an error instead.
  workflowIdConflictPolicy: "USE_EXISTING",
  // Shown and searched in Temporal's UI: ids only, since search attributes are never encrypted. Both optional.
  staticSummary: `${scenario} · contact ${contact} · order ${order}`,
  typedSearchAttributes: new TypedSearchAttributes([
    { key: defineSearchAttributeKey("ScenarioName", SearchAttributeType.KEYWORD), value: scenario },
    { key: defineSearchAttributeKey("ContactId", SearchAttributeType.KEYWORD), value: contact },
  ]),
});
console.log(handle.workflowId);

// 4. Later, something happens to the contact: tell the journey, with a signal. Told twice under one "id", it counts once.
await handle.signal("event", {
  name: "order.delivered",
  properties: { order_id: order },
  id: `delivered-${order}`,
});

await connection.close();
