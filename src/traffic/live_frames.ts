/**
 * The fast traffic source: a BPF program that the kernel runs on frames of its own (BPF_PROG_TEST_RUN with live frames)
 * and that sends them out of an interface, with no socket and no copy.
 *
 * On a veth the frames go straight into the other end's ring, which needs an XDP program (or GRO) there; the other
 * end's rx queue is the number of the sending CPU modulo its queues. Needs kernel 5.18, and the network namespace of
 * the interface.
 *
 * @module
 */
import objectBytes from "../../build/traffic.bpf.o" with { type: "bytes" };
import { ERRNO, syscallError } from "../ffi/errno.ts";
import { pinThread } from "../ffi/libc.ts";
import {
  type BpfObjectHandle,
  closeObject,
  findMap,
  loadObject,
  lookupElement,
  mapFd,
  possibleCpus,
  programFd,
  setInitialValue,
  testRun,
} from "../ffi/libbpf.ts";
import { parseAddress } from "../packet/address.ts";
import { addWords, buildFrame, type Endpoint, type Frame, pseudoHeaderSum, type VlanTag } from "./frames.ts";
import { LIMIT, PARAMETERS, SENT } from "./layout.gen.ts";

const PROGRAM = "traffic_source";
/** One NAPI poll's worth: the receiver empties its ring between two batches, so that none is lost. */
const BATCH_FRAMES = 64;
/** The time a burst of a paced source may stand for; the CPU takes no other packets while it is waited for. */
const BURST_SECONDS = 0.0005;
/** Below, one wait would be longer than the program may spin. */
const SLOWEST_PPS = 1000;
const SEQUENCE_BYTES = 8;
const DEFAULT_SOURCE_PORT = 20_000;
const IPV4 = { addresses: 12, checksum: 10, addressBytes: 4 } as const;
const MAX_FLOWS = 8 * LIMIT.PORTS_PER_ADDRESS;

export interface LiveFramesOptions {
  /** The interface the frames leave by. */
  readonly ifindex: number;
  /** The first flow's source; its port is 20,000 where undefined. Other flows count up from it. */
  readonly source: Endpoint;
  /** Its port is not used: `ports` are. */
  readonly destination: Endpoint;
  /** Destination ports, 1 to 8. Every source port sends to all of them, one frame to each in turn. */
  readonly ports: readonly number[];
  /** How many source ports take turns, 1 to 262,144; each 32,768 take another source address. Default 1. */
  readonly flows?: number;
  /** 8 and more: the payload starts with a 64-bit sequence number in network byte order. Default 18. */
  readonly payloadBytes?: number;
  /** UDP checksums; IPv6 always has them. Default false. */
  readonly checksum?: boolean;
  readonly vlans?: readonly VlanTag[];
  /**
   * Frames per second, at least 1,000, kept by spinning in the kernel on the sending CPU. As fast as can be where
   * undefined. One thread only may send.
   */
  readonly ratePps?: number;
}

export class LiveFrames implements Disposable {
  readonly #handle: BpfObjectHandle;
  readonly #program: number;
  readonly #sentFd: number;
  readonly #frame: Uint8Array<ArrayBuffer>;
  readonly #ports: readonly number[];
  readonly #burst: number;
  readonly #value = new Uint8Array(SENT.size * possibleCpus());
  #closed = false;

  private constructor(handle: BpfObjectHandle, frame: Uint8Array<ArrayBuffer>, options: LiveFramesOptions) {
    this.#handle = handle;
    this.#program = programFd(handle, PROGRAM);
    this.#sentFd = mapFd(findMap(handle, "sent_frames"));
    this.#frame = frame;
    this.#ports = options.ports;
    this.#burst = burstOf(options);
  }

  /**
   * Loads the program for one kind of traffic.
   *
   * @throws {RangeError} for more ports or flows than there can be.
   * @throws {SteerError} with the verifier's log when the kernel refuses the program.
   */
  static async load(options: LiveFramesOptions): Promise<LiveFrames> {
    const frame = buildTemplate(options);
    const parameters = packParameters(options, frame);
    const handle = await loadObject(objectBytes as Uint8Array<ArrayBuffer>, (object) => {
      setInitialValue(findMap(object, ".rodata"), parameters);
    });
    try {
      return new LiveFrames(handle, frame.bytes, options);
    } catch (error) {
      closeObject(handle);
      throw error;
    }
  }

  /**
   * Sends frames as fast as the interface takes them; returns when all are out. What the other end had no room for
   * counts as sent, as on any wire. Setting up takes the kernel some 20 ms, so a few large counts are better than many
   * small ones.
   *
   * @param count At most 2^31 - 1. The calling thread does nothing else meanwhile.
   * @param cpu Pins the calling thread there first, which on a veth chooses the receiver's queue.
   * @returns frames sent: fewer than `count` where a signal came or the redirect was refused.
   */
  send(count: number, cpu?: number): number {
    if (count <= 0) return 0; // the kernel takes 0 for 1
    if (cpu !== undefined) pinThread(cpu);
    const before = this.#readSent().total;
    const result = testRun(this.#program, { data: this.#frame, repeat: count, live: true, batchSize: this.#burst });
    if (result < 0 && result !== -ERRNO.EINTR) {
      throw syscallError("bpf_prog_test_run_opts", -result, "send live frames");
    }
    return this.#readSent().total - before;
  }

  /** Frames sent since the start, by destination port. */
  sentPerPort(): Map<number, number> {
    const { frames } = this.#readSent();
    return new Map(this.#ports.map((port, index) => [port, frames[index]!]));
  }

  /** Frames the program could not send: always 0 unless the frame is too short for its headers. */
  get refused(): number {
    return this.#readSent().refused;
  }

  #readSent(): { readonly frames: Float64Array; readonly refused: number; readonly total: number } {
    const result = lookupElement(this.#sentFd, new Uint8Array(4), this.#value);
    if (result < 0) throw syscallError("bpf_map_lookup_elem", -result, "read what was sent");
    const view = new DataView(this.#value.buffer);
    const frames = new Float64Array(LIMIT.PORTS);
    let refused = 0;
    for (let at = 0; at < view.byteLength; at += SENT.size) {
      for (let index = 0; index < LIMIT.PORTS; index++) {
        frames[index] = frames[index]! + Number(view.getBigUint64(at + SENT.frames + index * 8, true));
      }
      refused += Number(view.getBigUint64(at + SENT.refused, true));
    }
    return { frames, refused, total: frames.reduce((sum, count) => sum + count) };
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeObject(this.#handle);
  }
}

/** The frame with everything zero that the program writes: ports, sequence number, UDP checksum. */
function buildTemplate(options: LiveFramesOptions): Frame {
  const { source, destination, payloadBytes = 18, vlans = [] } = options;
  checkLimits(options);
  return buildFrame({
    source: { mac: source.mac, address: source.address },
    destination: { mac: destination.mac, address: destination.address },
    payload: new Uint8Array(payloadBytes),
    checksum: false,
    vlans,
  });
}

function checkLimits({ source, ports, flows = 1, ratePps = Infinity }: LiveFramesOptions): void {
  if (ports.length < 1 || ports.length > LIMIT.PORTS) {
    throw new RangeError(`Live frames go to 1 to ${LIMIT.PORTS} ports, not ${ports.length}`);
  }
  if (!(flows >= 1 && flows <= MAX_FLOWS)) throw new RangeError(`There can be 1 to ${MAX_FLOWS} flows, not ${flows}`);
  if (!(ratePps >= SLOWEST_PPS)) {
    throw new RangeError(`Live frames keep to ${SLOWEST_PPS} packets per second or more, not ${ratePps}`);
  }
  const firstPort = source.port ?? DEFAULT_SOURCE_PORT;
  if (firstPort + Math.min(flows, LIMIT.PORTS_PER_ADDRESS) > 0x10000) {
    throw new RangeError(`${flows} flows do not fit above source port ${firstPort}`);
  }
}

function burstOf({ ratePps = Infinity }: LiveFramesOptions): number {
  return Math.max(1, Math.min(BATCH_FRAMES, Math.floor(ratePps * BURST_SECONDS)));
}

function packParameters(options: LiveFramesOptions, frame: Frame): Uint8Array<ArrayBuffer> {
  const { source, destination, ports, flows = 1, payloadBytes = 18, checksum = false } = options;
  const from = parseAddress(source.address);
  const isIpv6 = from.length === 16;
  const lastFour = new DataView(from.buffer, from.length - 4);
  const firstAddress = lastFour.getUint32(0);
  lastFour.setUint32(0, 0);

  const ipHeader = frame.bytes.slice(frame.ipAt, frame.transportAt);
  if (!isIpv6) {
    ipHeader.fill(0, IPV4.addresses, IPV4.addresses + IPV4.addressBytes);
    ipHeader.fill(0, IPV4.checksum, IPV4.checksum + 2);
  }
  const datagram = frame.bytes.subarray(frame.transportAt, frame.endAt);
  const udpSum = addWords(datagram, pseudoHeaderSum(from, parseAddress(destination.address), datagram.length));

  const view = new DataView(new ArrayBuffer(PARAMETERS.size));
  const set = (offset: number, value: number): void => view.setUint32(offset, value, true);
  set(PARAMETERS.ifindex, options.ifindex);
  set(PARAMETERS.flows, flows);
  set(PARAMETERS.portCount, ports.length);
  set(PARAMETERS.ipOffset, frame.ipAt);
  set(PARAMETERS.isIpv6, Number(isIpv6));
  set(PARAMETERS.hasChecksum, Number(checksum || isIpv6));
  set(PARAMETERS.hasSequence, Number(payloadBytes >= SEQUENCE_BYTES));
  set(PARAMETERS.sourceAddress, firstAddress);
  set(PARAMETERS.ipSum, addWords(ipHeader));
  set(PARAMETERS.udpSum, udpSum);
  view.setUint16(PARAMETERS.sourcePort, source.port ?? DEFAULT_SOURCE_PORT, true);
  if (options.ratePps !== undefined) {
    set(PARAMETERS.burst, burstOf(options));
    view.setBigUint64(PARAMETERS.burstNs, BigInt(Math.round(burstOf(options) / options.ratePps * 1e9)), true);
  }
  ports.forEach((port, index) => view.setUint16(PARAMETERS.ports + index * 2, port, true));
  return new Uint8Array(view.buffer);
}
