/**
 * The plain traffic source: UDP sockets, one for each flow, as an ordinary sender has them. Counts are exact: a
 * datagram that the kernel had no room for is not counted and sent again later.
 *
 * @module
 */
import { ERRNO, syscallError } from "../ffi/errno.ts";
import { MessageBatch, type SocketAddress, UdpSocket } from "../ffi/udp.ts";
import { parseAddress } from "../packet/address.ts";
import { Pacer, sleep } from "./pacer.ts";

const BATCH_DATAGRAMS = 64;
/** What the kernel cuts a message into at most, UDP_MAX_SEGMENTS of kernels before 6.9. */
const MAX_SEGMENTS = 64;
const SEQUENCE_BYTES = 8;
const RECEIVE_BUFFER_BYTES = 4 << 20;
/** The largest payload of a reply that is looked at; a longer one is cut, and still counted. */
const REPLY_BYTES = 2048;
const RETRY_MS = 1;
/** The queue of the interface or of the socket is full, or an earlier datagram found nobody listening. */
const TRY_AGAIN: readonly number[] = [ERRNO.EAGAIN, ERRNO.ENOBUFS, ERRNO.ECONNREFUSED];

export interface UdpFlowsOptions {
  /** Where to, IPv4 or IPv6. */
  readonly address: string;
  /** Destination ports. Every flow sends to all of them, one message to each in turn. */
  readonly ports: readonly number[];
  /** Source sockets. Default 1. */
  readonly flows?: number;
  /** Infinity: until `signal` ends it. */
  readonly packetsPerFlow: number;
  /** 8 and more: the payload starts with a 64-bit sequence number in network byte order. Default 18. */
  readonly payloadBytes?: number;
  /**
   * Datagrams that the kernel cuts from one message (UDP_SEGMENT), 1 to 64: several times as fast, and as many in a row
   * to one port. A veth with no XDP program at its other end hands the message on uncut. Default 1.
   */
  readonly segments?: number;
  /** Packets per second over all flows. As fast as can be where undefined. */
  readonly ratePps?: number;
  /**
   * Datagrams that may have been sent by now, counted from the start. The sender waits until it grows. Default no
   * limit.
   */
  readonly granted?: () => number;
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
  readonly #outgoing: MessageBatch;
  readonly #incoming: MessageBatch;
  readonly #payloadBytes: number;
  readonly #segments: number;
  readonly #sentPerPort: Map<number, number>;
  readonly #repliesPerPort = new Map<number, number>();
  #sent = 0;
  #replies = 0;

  constructor(options: UdpFlowsOptions) {
    const { ports, flows = 1, payloadBytes = 18, segments = 1, sourcePort } = options;
    if (!(segments >= 1 && segments <= MAX_SEGMENTS)) {
      throw new RangeError(`A message is cut into 1 to ${MAX_SEGMENTS} datagrams, not ${segments}`);
    }
    const address = parseAddress(options.address);
    const any = new Uint8Array(address.length);
    this.#options = options;
    this.#payloadBytes = payloadBytes;
    this.#segments = segments;
    this.#sentPerPort = new Map(ports.map((port) => [port, 0]));
    // A flow's nth message goes to port n modulo ports, so a batch may start at any of the first slots.
    const slots = BATCH_DATAGRAMS + ports.length - 1;
    const peers = Array.from({ length: slots }, (_, slot): SocketAddress => ({ address, port: portOf(ports, slot) }));
    this.#outgoing = new MessageBatch(peers, payloadBytes * segments);
    this.#incoming = new MessageBatch(peers.slice(0, BATCH_DATAGRAMS), REPLY_BYTES);
    try {
      for (let flow = 0; flow < flows; flow++) {
        const port = sourcePort === undefined ? 0 : sourcePort + flow;
        this.#sockets.push(
          new UdpSocket({
            local: { address: any, port },
            receiveBufferBytes: RECEIVE_BUFFER_BYTES,
            segmentBytes: segments > 1 ? payloadBytes : 0,
          }),
        );
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  async run(): Promise<UdpFlowsResult> {
    const { packetsPerFlow, ratePps, granted = () => Infinity, replyTimeoutMs = 0, signal } = this.#options;
    const pacer = new Pacer(ratePps);
    const burst = Math.ceil(pacer.burst(BATCH_DATAGRAMS) / this.#segments);
    const messagesPerFlow = Math.ceil(packetsPerFlow / this.#segments);
    const sentByFlow = this.#sockets.map(() => 0);
    const total = packetsPerFlow * this.#sockets.length;
    while (this.#sent < total && !isAborted(signal)) {
      const before = this.#sent;
      for (const [flow, socket] of this.#sockets.entries()) {
        const already = sentByFlow[flow]!;
        const allowed = Math.floor((granted() - this.#sent) / this.#segments);
        const count = Math.min(burst, messagesPerFlow - already, allowed);
        if (count > 0) sentByFlow[flow] = already + this.#sendBatch(socket, already, count);
        if (replyTimeoutMs > 0) this.#receive(socket);
        await pacer.keep(this.#sent);
        if (isAborted(signal)) break;
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

  /** Sends a flow's messages number `already` and following. @returns how many the kernel took. */
  #sendBatch(socket: UdpSocket, already: number, count: number): number {
    const { ports, address } = this.#options;
    const first = already % ports.length;
    let sequence = this.#sent;
    for (let index = 0; index < count; index++) {
      sequence += this.#fill(first + index, this.#datagrams(already + index), sequence);
    }
    const taken = socket.send(this.#outgoing, first, count);
    if (taken < 0) {
      if (TRY_AGAIN.includes(-taken)) return 0;
      throw syscallError("sendmmsg", -taken, `send UDP datagrams to ${address}`);
    }
    for (let index = 0; index < taken; index++) {
      const port = portOf(ports, first + index);
      const datagrams = this.#datagrams(already + index);
      this.#sentPerPort.set(port, this.#sentPerPort.get(port)! + datagrams);
      this.#sent += datagrams;
    }
    return taken;
  }

  /** How many datagrams a flow's nth message is: the last may have fewer. */
  #datagrams(message: number): number {
    return Math.min(this.#segments, this.#options.packetsPerFlow - message * this.#segments);
  }

  /** Prepares one message. @returns how many sequence numbers it used. */
  #fill(slot: number, datagrams: number, sequence: number): number {
    if (this.#segments > 1) this.#outgoing.setLength(slot, datagrams * this.#payloadBytes);
    if (this.#payloadBytes >= SEQUENCE_BYTES) {
      for (let index = 0; index < datagrams; index++) {
        this.#outgoing.stamp(slot, index * this.#payloadBytes, sequence + index);
      }
    }
    return datagrams;
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

/** As a function, since the answer changes while the sender waits. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function portOf(ports: readonly number[], slot: number): number {
  return ports[slot % ports.length]!;
}
