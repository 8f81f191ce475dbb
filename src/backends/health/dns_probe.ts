/**
 * DNS: a query, and an answer to it that says that the server works.
 *
 * @module
 */
import { DNS_TYPES, type HealthCheck } from "../../steering/forward.ts";
import type { SocketAddress } from "../../ffi/udp.ts";
import type { Outcome } from "./probe.ts";
import { UdpProbe } from "./socket_probes.ts";
import type { SourcePorts } from "./source_ports.ts";

/** What is asked for where nothing is said: every resolver knows it. */
const DEFAULT_NAME = "a.root-servers.net";

const HEADER_BYTES = 12;
/** A standard query, recursion desired; one question. */
const FLAGS = 0x0100;
const CLASS_IN = 1;
const IS_RESPONSE = 0x80;
const RCODE = 0x0f;
/** That a name does not exist is an answer of a server that works. */
const GOOD_RCODES = new Map([[0, "answered"], [3, "answered that the name does not exist (NXDOMAIN)"]]);
const BAD_RCODES = new Map([[1, "FORMERR"], [2, "SERVFAIL"], [4, "NOTIMP"], [5, "REFUSED"], [9, "NOTAUTH"]]);

export class DnsProbe extends UdpProbe {
  readonly #query: Uint8Array<ArrayBuffer>;

  constructor(peer: SocketAddress, check: HealthCheck, ports: SourcePorts) {
    super(peer, check, ports);
    this.#query = queryOf(check.name ?? DEFAULT_NAME, check.type ?? "A");
  }

  /** Another number each time: a late answer to the last query is none to this one. */
  protected override payload(): Uint8Array<ArrayBuffer> {
    crypto.getRandomValues(this.#query.subarray(0, 2));
    return this.#query;
  }

  protected override judge(answer: Uint8Array): Outcome | undefined {
    const query = this.#query;
    const isSame = (from: number, to: number): boolean =>
      query.subarray(from, to).every((byte, index) => lower(answer[from + index]!) === lower(byte));
    if (answer.length < HEADER_BYTES) return { succeeded: false, reason: "an answer that is not DNS" };
    if (!isSame(0, 2)) return undefined; // to another query
    if ((answer[2]! & IS_RESPONSE) === 0) return { succeeded: false, reason: "an answer that is a query" };
    const rcode = answer[3]! & RCODE;
    const good = GOOD_RCODES.get(rcode);
    if (good === undefined) {
      return { succeeded: false, reason: `answered ${BAD_RCODES.get(rcode) ?? `RCODE ${rcode}`}` };
    }
    if (answer.length < query.length || !isSame(HEADER_BYTES, query.length)) {
      return { succeeded: false, reason: "an answer to another question" };
    }
    return { succeeded: true, reason: good };
  }
}

/** @param name Without an escape; a dot at its end makes no difference. */
function queryOf(name: string, type: keyof typeof DNS_TYPES): Uint8Array<ArrayBuffer> {
  const labels = name.split(".").filter((label) => label !== "");
  const question = labels.flatMap((label) => [label.length, ...new TextEncoder().encode(label)]);
  const bytes = new Uint8Array(HEADER_BYTES + question.length + 5);
  const view = new DataView(bytes.buffer);
  view.setUint16(2, FLAGS);
  view.setUint16(4, 1);
  bytes.set(question, HEADER_BYTES);
  view.setUint16(bytes.length - 4, DNS_TYPES[type]);
  view.setUint16(bytes.length - 2, CLASS_IN);
  return bytes;
}

/** Servers may answer with other letter cases. */
function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
