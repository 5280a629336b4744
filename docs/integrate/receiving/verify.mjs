import { createHmac, createPublicKey, timingSafeEqual, verify as fitsKey } from "node:crypto";

const TOLERANCE = 300; // seconds that a request may be old, or ahead of your clock

/**
 * Returns the id of a genuine request, and throws for any other: answer 401.
 * headers: by name in lower case, as Node has them; body: a Buffer, raw; keys: all that you accept, "whsec_…", "whpk_…".
 */
export function verify(headers, body, keys) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  const given = (headers["webhook-signature"] ?? "").split(" ");
  if (!id || !/^[0-9]+$/.test(timestamp ?? "")) throw new Error("not a signed webhook");
  const message = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  if (!given.some((signature) => keys.some((key) => fits(signature, key, message)))) {
    throw new Error("no signature fits");
  }
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) throw new Error("too old, or not yet");
  return id;
}

function fits(signature, key, message) {
  const [version, encoded = ""] = signature.split(",");
  const [prefix, text = ""] = key.split("_");
  const made = Buffer.from(encoded, "base64");
  const raw = Buffer.from(text, "base64");
  if (version === "v1" && prefix === "whsec") {
    const good = createHmac("sha256", raw).update(message).digest();
    return made.length === good.length && timingSafeEqual(made, good);
  }
  if (version === "v1a" && prefix === "whpk") {
    const jwk = { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") };
    return fitsKey(null, message, createPublicKey({ key: jwk, format: "jwk" }), made);
  }
  return false;
}
