/**
 * One question to one DNS server: by UDP, and by TCP where the answer is too long for that.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect } from "node:net";
import packet from "dns-packet";
import { messageOf } from "../../errors.ts";

/** What is asked for of a name. */
export type RecordType = "A" | "AAAA" | "SRV";

export interface DnsServer {
  readonly address: string;
  readonly port: number;
}

/** What an SRV record says. */
export interface Service {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: string;
}

/** A server's answer. `ttl`: seconds that it may be used for. */
export type Answer =
  | { readonly kind: "records"; readonly records: readonly (string | Service)[]; readonly ttl: number }
  /** The name does not exist, or has no such record. */
  | { readonly kind: "none"; readonly words: string; readonly ttl: number }
  | { readonly kind: "failed"; readonly words: string };

export interface QueryOptions {
  /** False for a local port whose packets go to a worker: an answer to it would not come back. */
  readonly mayUse: (port: number) => boolean;
  readonly timeoutMs: number;
}

/** Bytes of an answer by UDP that no path should have to fragment. */
const UDP_BYTES = 1232;
/** Ports that are tried. */
const MAX_PORTS = 50;
/** Of an answer that does not say how long it holds. */
const DEFAULT_TTL = 5;
const NOT_FOUND = "NXDOMAIN";
/** What is said of a name that does not exist. */
export const NOT_THERE = "the name does not exist (NXDOMAIN)";

/** Asks. Never throws: what goes wrong is an answer too. */
export async function query(
  server: DnsServer,
  name: string,
  type: RecordType,
  options: QueryOptions,
): Promise<Answer> {
  const id = randomInt(0x10000);
  const question = packet.encode({
    type: "query",
    id,
    flags: packet.RECURSION_DESIRED,
    questions: [{ type, name }],
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: UDP_BYTES }],
  });
  const isOurs = (answer: Packet): boolean => {
    const [asked, ...more] = answer.questions;
    return answer.id === id && answer.type === "response" && more.length === 0 && asked?.type === type &&
      asked.name.toLowerCase() === name.toLowerCase();
  };
  try {
    const short = await byUdp(server, question, isOurs, options);
    return answerOf(short.flag_tc ? await byTcp(server, question, isOurs, options.timeoutMs) : short, type);
  } catch (error) {
    return { kind: "failed", words: `${server.address}: ${messageOf(error)}` };
  }
}

/** What dns-packet makes of bytes, as far as it is used here. */
interface Packet {
  readonly id: number;
  readonly type: string;
  readonly rcode: string;
  readonly flag_tc: boolean;
  readonly questions: readonly { readonly type: string; readonly name: string }[];
  readonly answers: readonly Record[];
  readonly authorities: readonly Record[];
}

interface Record {
  readonly type: string;
  readonly ttl?: number;
  readonly data: unknown;
}

function decoded(bytes: Uint8Array): Packet | undefined {
  try {
    return packet.decode(bytes) as Packet;
  } catch {
    return undefined; // whatever it is, it is no answer
  }
}

async function byUdp(
  server: DnsServer,
  question: Uint8Array,
  isOurs: (answer: Packet) => boolean,
  { mayUse, timeoutMs }: QueryOptions,
): Promise<Packet> {
  const socket = await boundSocket(server.address.includes(":"), mayUse);
  const { promise, resolve, reject } = Promise.withResolvers<Packet>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    socket.on("error", reject);
    socket.on("message", (bytes: Uint8Array, from: { readonly port: number }) => {
      const answer = from.port === server.port ? decoded(bytes) : undefined;
      if (answer !== undefined && isOurs(answer)) resolve(answer);
    });
    socket.send(question, server.port, server.address, (error: Error | null) => error && reject(error));
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

/** With a port of its own choice, which the kernel draws: nobody guesses it. */
async function boundSocket(isIpv6: boolean, mayUse: (port: number) => boolean): Promise<UdpSocket> {
  for (let tries = 0; tries < MAX_PORTS; tries++) {
    const socket = createSocket(isIpv6 ? "udp6" : "udp4");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once("error", reject);
    socket.bind(0, resolve);
    try {
      await promise;
    } catch (error) {
      socket.close();
      throw error;
    }
    if (mayUse(socket.address().port)) return socket;
    socket.close();
  }
  throw new Error("no local port is free that is not steered");
}

function byTcp(
  { address, port }: DnsServer,
  question: Uint8Array,
  isOurs: (answer: Packet) => boolean,
  timeoutMs: number,
): Promise<Packet> {
  const { promise, resolve, reject } = Promise.withResolvers<Packet>();
  const socket = connect({ host: address, port });
  const timer = setTimeout(() => reject(new Error(`no answer by TCP within ${timeoutMs} ms`)), timeoutMs);
  const parts: Uint8Array[] = [];
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("the TCP connection ended without an answer")));
  socket.on("connect", () => {
    const length = new Uint8Array(2);
    new DataView(length.buffer).setUint16(0, question.length);
    socket.write(new Uint8Array([...length, ...question]));
  });
  socket.on("data", (part: Uint8Array) => {
    parts.push(part);
    const bytes = Buffer.concat(parts);
    if (bytes.length < 2 || bytes.length < 2 + bytes.readUInt16BE(0)) return;
    const answer = decoded(bytes.subarray(2, 2 + bytes.readUInt16BE(0)));
    if (answer !== undefined && isOurs(answer)) resolve(answer);
    else reject(new Error("its answer by TCP cannot be read"));
  });
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

function answerOf({ rcode, answers, authorities }: Packet, type: RecordType): Answer {
  if (rcode !== "NOERROR" && rcode !== NOT_FOUND) return { kind: "failed", words: `the server says ${rcode}` };
  const found = answers.filter((record) => record.type === type);
  if (found.length === 0 || rcode === NOT_FOUND) {
    const start = authorities.find((record) => record.type === "SOA");
    const { minimum = DEFAULT_TTL } = (start?.data ?? {}) as { readonly minimum?: number };
    const words = rcode === NOT_FOUND ? NOT_THERE : `it has no ${type} record`;
    return { kind: "none", words, ttl: Math.min(start?.ttl ?? DEFAULT_TTL, minimum) };
  }
  // An alias on the way holds no longer than what it leads to.
  const ttl = answers.reduce((least, record) => Math.min(least, record.ttl ?? DEFAULT_TTL), Infinity);
  return { kind: "records", records: found.map(({ data }) => data as string | Service), ttl };
}
