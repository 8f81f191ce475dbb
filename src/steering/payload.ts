/**
 * The payload of a health check, as it is written and as it is sent.
 *
 * @module
 */

/** Text, sent as UTF-8, or bytes. A hex text may have white space between two bytes. */
export type Payload = string | { readonly hex: string } | { readonly base64: string };

/** The bytes of a payload. */
export function payloadBytes(payload: Payload): Uint8Array<ArrayBuffer> {
  if (typeof payload === "string") return new TextEncoder().encode(payload);
  return "hex" in payload
    ? Uint8Array.fromHex(payload.hex.replaceAll(/\s/g, ""))
    : Uint8Array.fromBase64(payload.base64);
}
