/**
 * The plain traffic source: UDP sockets, one for each flow, as an ordinary sender has them. Counts are exact: a datagram
 * that the kernel had no room for is not counted and sent again later.
 *
 * @module
 */
import { constants } from "node:os";
import { ERRNO, syscallError } from "../ffi/errno.ts";
import { DatagramBatch, type SocketAddress, UdpSocket } from "../ffi/udp.ts";
import { parseAddress } from "./address.ts";
import { Pacer, sleep } from "./pacer.ts";

const BATCH_DATAGRAMS = 64;
const SEQUENCE_BYTES = 8;
const RECEIVE_BUFFER_BYTES = 4 << 20;
/** The largest payload of a reply that is looked at; a longer one is cut, and still counted. */
const REPLY_BYTES = 2048;
const RETRY_MS = 1;
/** The queue of the interface or of the socket is full, or an earlier datagram found nobody listening. */
const TRY_AGAIN: readonly number[] = [ERRNO.EAGAIN, ERRNO.ENOBUFS, constants.errno.ECONNREFUSED];

export interface UdpFlowsOptions {
  /** Where to, IPv4 or IPv6. */
  readonly address: string;
  /** Destination ports. Every flow sends to all of them, one datagram to each in turn. */
  readonly ports: readonly number[];
  /** Source sockets. Default 1. */
  readonly flows?: number;
  readonly packetsPerFlow: number;
  /** 8 and more: the payload starts with a 64-bit sequence number in network byte order. Default 18. */
  readonly payloadBytes?: number;
  /** Packets per second over all flows. As fast as can be where undefined. */
  readonly ratePps?: number;
  /** The first flow's source port, the others count up from it. The kernel chooses where undefined. */
  readonly sourcePort?: number;
  /** How long to wait for replies after the last datagram, until as many came as were sent. Default 0. */
  readonly replyTimeoutMs?: number;
  /** Ends the sending early. */
  readonly signal?: AbortSignal;
}

export interface UdpFlowsResult {
  /** Datagrams the kernel took, by destination port. */
  readonly sentPerPort: Map<number, number>;
  /** Datagrams that came back, by the port they came from. */
  readonly repliesPerPort: Map<number, number>;
  readonly sent: number;
  readonly replies: number;
  /** From the first to the last datagram sent. */
  readonly elapsedMs: number;
}

/**
 * Sends `packetsPerFlow` datagrams from each of `flows` sockets.
 *
 * @throws {SyscallError} when a socket cannot be opened, or cannot send for another reason than lack of room.
 */
export async function sendFlows(options: UdpFlowsOptions): Promise<UdpFlowsResult> {
  using sender = new FlowSender(options);
  return await sender.run();
}

class FlowSender implements Disposable {
  readonly #options: UdpFlowsOptions;
  readonly #sockets: UdpSocket[] = [];
  readonly #outgoing: DatagramBatch;
  readonly #incoming: DatagramBatch;
  readonly #stamped: boolean;
  readonly #sentPerPort: Map<number, number>;
  readonly #repliesPerPort = new Map<number, number>();
  #sent = 0;
  #replies = 0;

  constructor(options: UdpFlowsOptions) {
    const { ports, flows = 1, payloadBytes = 18, sourcePort } = options;
    const address = parseAddress(options.address);
    const any = new Uint8Array(address.length);
    this.#options = options;
    this.#stamped = payloadBytes >= SEQUENCE_BYTES;
    this.#sentPerPort = new Map(ports.map((port) => [port, 0]));
    // A flow's nth datagram goes to port n modulo ports, so a batch may start at any of the first slots.
    const slots = BATCH_DATAGRAMS + ports.length - 1;
    const peers = Array.from({ length: slots }, (_, slot): SocketAddress => ({ address, port: portOf(ports, slot) }));
    this.#outgoing = new DatagramBatch(peers, payloadBytes);
    this.#incoming = new DatagramBatch(peers.slice(0, BATCH_DATAGRAMS), REPLY_BYTES);
    try {
      for (let flow = 0; flow < flows; flow++) {
        const port = sourcePort === undefined ? 0 : sourcePort + flow;
        this.#sockets.push(new UdpSocket({ address: any, port }, RECEIVE_BUFFER_BYTES));
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  async run(): Promise<UdpFlowsResult> {
    const { packetsPerFlow, ratePps, replyTimeoutMs = 0, signal } = this.#options;
    const pacer = new Pacer(ratePps);
    const burst = pacer.burst(BATCH_DATAGRAMS);
    const sentByFlow = this.#sockets.map(() => 0);
    const total = packetsPerFlow * this.#sockets.length;
    while (this.#sent < total && signal?.aborted !== true) {
      const before = this.#sent;
      for (const [flow, socket] of this.#sockets.entries()) {
        const already = sentByFlow[flow]!;
        const count = Math.min(burst, packetsPerFlow - already);
        if (count > 0) sentByFlow[flow] = already + this.#sendBatch(socket, already, count);
        if (replyTimeoutMs > 0) this.#receive(socket);
        await pacer.keep(this.#sent);
        if (signal?.aborted === true) break;
      }
      if (this.#sent === before) await sleep(RETRY_MS);
    }
    const elapsedMs = pacer.elapsedMs;
    await this.#awaitReplies(performance.now() + replyTimeoutMs);
    return {
      sentPerPort: this.#sentPerPort,
      repliesPerPort: this.#repliesPerPort,
      sent: this.#sent,
      replies: this.#replies,
      elapsedMs,
    };
  }

  /** Sends a flow's datagrams number `already` and following. @returns how many the kernel took. */
  #sendBatch(socket: UdpSocket, already: number, count: number): number {
    const { ports } = this.#options;
    const first = already % ports.length;
    if (this.#stamped) {
      for (let index = 0; index < count; index++) this.#outgoing.stamp(first + index, this.#sent + index);
    }
    const taken = socket.send(this.#outgoing, first, count);
    if (taken < 0) {
      if (TRY_AGAIN.includes(-taken)) return 0;
      throw syscallError("sendmmsg", -taken, `send UDP datagrams to ${this.#options.address}`);
    }
    for (let index = 0; index < taken; index++) {
      const port = portOf(ports, first + index);
      this.#sentPerPort.set(port, this.#sentPerPort.get(port)! + 1);
    }
    this.#sent += taken;
    return taken;
  }

  #receive(socket: UdpSocket): void {
    while (true) {
      const count = socket.receive(this.#incoming);
      // A refusal is reported here once: the port that nobody listens on, not a reply.
      if (count <= 0) return;
      for (let slot = 0; slot < count; slot++) {
        const port = this.#incoming.peerPort(slot);
        this.#repliesPerPort.set(port, (this.#repliesPerPort.get(port) ?? 0) + 1);
      }
      this.#replies += count;
      if (count < this.#incoming.slots) return;
    }
  }

  async #awaitReplies(deadline: number): Promise<void> {
    while (this.#replies < this.#sent && performance.now() < deadline) {
      await sleep(RETRY_MS);
      for (const socket of this.#sockets) this.#receive(socket);
    }
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.close();
    this.#outgoing[Symbol.dispose]();
    this.#incoming[Symbol.dispose]();
  }
}

function portOf(ports: readonly number[], slot: number): number {
  return ports[slot % ports.length]!;
}
