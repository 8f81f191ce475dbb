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
import type { Answer, RecordType } from "./answer.ts";
import { answerOf, type Message, readMessage } from "./dns_message.ts";

export interface DnsServer {
  readonly address: string;
  readonly port: number;
}

export interface QueryOptions {
  /** False for a local port whose packets go to a worker: an answer to it would not come back. */
  readonly mayUse: (port: number) => boolean;
  readonly timeoutMs: number;
}

/** Bytes of an answer by UDP that no path should have to fragment. */
const UDP_BYTES = 1232;
/** Ports that are tried. */
const MAX_PORTS = 50;

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
  const isOurs = (answer: Message): boolean => {
    const [asked, ...more] = answer.questions;
    return answer.id === id && answer.type === "response" && more.length === 0 && asked?.type === type &&
      asked.name.toLowerCase() === name.toLowerCase();
  };
  try {
    const short = await byUdp(server, question, isOurs, options);
    const whole = short.flag_tc ? await byTcp(server, question, isOurs, options.timeoutMs) : short;
    return answerOf(whole, name, type);
  } catch (error) {
    return { kind: "failed", words: `${server.address}: ${messageOf(error)}` };
  }
}

async function byUdp(
  server: DnsServer,
  question: Uint8Array,
  isOurs: (answer: Message) => boolean,
  { mayUse, timeoutMs }: QueryOptions,
): Promise<Message> {
  const socket = await boundSocket(server.address.includes(":"), mayUse);
  const { promise, resolve, reject } = Promise.withResolvers<Message>();
  let unread = "";
  const late = (): void => reject(new Error(`no answer${unread} within ${timeoutMs} ms`));
  const timer = setTimeout(late, timeoutMs);
  try {
    socket.on("error", reject);
    socket.on("message", (bytes: Uint8Array, from: { readonly port: number }) => {
      if (from.port !== server.port) return;
      const answer = readMessage(bytes);
      if (answer !== undefined && isOurs(answer)) return resolve(answer);
      if (answer === undefined) unread = " that can be read"; // whoever sent it: the server's may come still
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
  isOurs: (answer: Message) => boolean,
  timeoutMs: number,
): Promise<Message> {
  const { promise, resolve, reject } = Promise.withResolvers<Message>();
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
    const answer = readMessage(bytes.subarray(2, 2 + bytes.readUInt16BE(0)));
    if (answer !== undefined && isOurs(answer)) resolve(answer);
    else reject(new Error("its answer by TCP cannot be read"));
  });
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}
