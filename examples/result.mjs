// Prints the result of a journey, in JavaScript. With encryption, the codec server decodes it.
//
//     npm install @temporalio/client
//     node result.mjs post-purchase/3028687/CGX0094
//
// The variables are those of Temporal's command line: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, and with encryption
// TEMPORAL_CODEC_ENDPOINT (https://your-gateway/codec) and TEMPORAL_CODEC_AUTH (Bearer, and a key with the scope decode).

import { Client, Connection } from "@temporalio/client";

const base64 = (bytes) => Buffer.from(bytes ?? []).toString("base64");
const mapped = (metadata, change) =>
  Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, change(value)]));

// A codec of the data converter. It decodes results, answers to queries and updates, and failures.
class ScenarioCodec {
  // Workers also accept plain text. The codec server does not know the contact, whose key it would have to use.
  async encode(payloads) {
    return payloads;
  }

  async decode(payloads) {
    const response = await fetch(`${process.env.TEMPORAL_CODEC_ENDPOINT}/decode`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: process.env.TEMPORAL_CODEC_AUTH },
      body: JSON.stringify({
        payloads: payloads.map(({ metadata, data }) => ({ metadata: mapped(metadata, base64), data: base64(data) })),
      }),
    });
    if (!response.ok) throw new Error(`the codec server answered ${response.status}`);
    const answer = await response.json();
    return answer.payloads.map(({ metadata, data }) => ({
      metadata: mapped(metadata, (value) => Buffer.from(value, "base64")),
      data: Buffer.from(data ?? "", "base64"),
    }));
  }
}

const payloadCodecs = process.env.TEMPORAL_CODEC_ENDPOINT ? [new ScenarioCodec()] : [];
const connection = await Connection.connect({ address: process.env.TEMPORAL_ADDRESS ?? "localhost:7233" });
const client = new Client({
  connection,
  namespace: process.env.TEMPORAL_NAMESPACE ?? "default",
  dataConverter: { payloadCodecs },
});
console.log(JSON.stringify(await client.workflow.getHandle(process.argv[2]).result()));
await connection.close();
