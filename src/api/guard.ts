/**
 * What a browser on this machine must not be talked into: the TCP listener asks for no password, so it answers only who
 * names it by a loopback name (a page that rebinds its own name to 127.0.0.1 does not), and no page of another origin.
 *
 * @module
 */
import type { IncomingHttpHeaders } from "node:http";
import { HttpError } from "./answers.ts";

const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/** On every answer over TCP. */
export const TCP_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** @throws {HttpError} 421 for a host, 403 for an origin that is not this machine's. */
export function guardTcp({ host, origin }: IncomingHttpHeaders): void {
  if (host === undefined || !LOOPBACK_HOST.test(host)) {
    throw new HttpError(421, "this address answers to localhost, 127.0.0.1 and [::1] only");
  }
  if (origin !== undefined && origin.toLowerCase() !== `http://${host.toLowerCase()}`) {
    throw new HttpError(403, "pages of another origin may not ask here");
  }
}
