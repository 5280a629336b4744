import { createServer } from "node:http";
import { verify } from "./verify.mjs";

const KEYS = process.env.WEBHOOK_SECRETS.split(" "); // the newest, and for a while the one before
const LONGEST = 1024 * 1024;
const inbox = new Map(); // in earnest: a table whose key is the id

const server = createServer(async (request, response) => {
  const answer = (status) => response.writeHead(status, { "content-length": 0 }).end();
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > LONGEST) return answer(413);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks); // raw: no framework has parsed it
  let id;
  try {
    id = verify(request.headers, body, KEYS);
  } catch {
    return answer(401);
  }
  if (!inbox.has(id)) {
    inbox.set(id, body);
    console.log(`kept ${id}`);
  }
  return answer(204);
});

server.listen(Number(process.env.PORT ?? 8000), "127.0.0.1", () => {
  console.log(`listening on port ${server.address().port}`);
});
