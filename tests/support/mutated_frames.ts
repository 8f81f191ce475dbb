/**
 * Frames of clients and of backends, and what becomes of them when somebody wants to break things: the same ones for
 * the same seed, without an allocation for each.
 *
 * @module
 */
import { buildFrame, type FrameOptions, withPartialChecksum } from "../../src/traffic/frames.ts";

/** The ends of the frames, and their ports. */
export const ENDS = {
  clients: { 4: ["10.1.0.3", "10.1.0.4"], 6: ["fd01::3", "fd01::4"] },
  service: { 4: "10.1.0.1", 6: "fd01::1" },
  box: { 4: "10.2.0.1", 6: "fd02::1" },
  backends: { 4: ["10.2.0.11", "10.2.0.12", "10.2.0.13"], 6: ["fd02::11", "fd02::12", "fd02::13"] },
} as const;
export const MACS = { client: "02:00:00:00:00:01", box: "02:00:00:00:00:02", backend: "02:00:00:00:00:03" } as const;
export const PORTS = { echo: 7777, count: 8080, nat: 53, dsr: 5060, backend: 9000 } as const;
/** Of answers. */
export const TRANSLATION = { first: 20_000, count: 64 } as const;
/** The VLAN that some backends are in. */
export const BACKEND_VLAN = 20;

/** The seeds of the tests. */
export const SEEDS = [1, 2, 3, 4];
/** Bytes of the largest frames that come by each of three interfaces, two of which have small chunks. */
const MOST = [1792, 3500, 1792];

/** One source of frames for each interface. */
export function mutatedFrames(seed: number): MutatedFrames[] {
  return MOST.map((most, index) => new MutatedFrames(seed * MOST.length + index, most));
}

const TEMPLATES = 512;
const SIZES = [0, 1, 2, 17, 18, 19, 100, 1000, 1232, 1372, 1400, 1452, 1472, 1473, 2000, 2900];
/** What lengths and offsets go wrong with, and what header fields are made of. */
const ODD = [0, 1, 5, 6, 7, 8, 19, 20, 27, 28, 39, 40, 47, 48, 60, 0x0800, 0x86dd, 0x8100, 0x88a8, 0x4500, 0x4f00];
const ODD_WORDS = [...ODD, 0x2000, 0x3fff, 0x4000, 0x5045, 0x7fff, 0x8000, 0xfff9, 0xfffe, 0xffff];
const PROTOCOLS = [0, 6, 17, 43, 44, 50, 51, 58, 59, 60];
const ADDRESSES = [
  0,
  0x01020300,
  0x7f000001,
  0xe0000001,
  0xeffffffa,
  0xf0000001,
  -1,
  0xff020000,
  0xfe800000,
  0x0000ffff,
];

interface Template {
  readonly bytes: Uint8Array;
  readonly ipAt: number;
  readonly transportAt: number;
  readonly isIpv6: boolean;
  /** True for a frame to a translation port. */
  readonly isAnswer: boolean;
}

export class MutatedFrames {
  /** The frame that was made last: `length` bytes of it. */
  readonly bytes = new Uint8Array(8192);
  length = 0;
  /** A random number that belongs to it. */
  pick = 0;
  readonly #view = new DataView(this.bytes.buffer);
  readonly #templates: readonly Template[];
  readonly #most: number;
  #state: number;

  /** @param most Bytes of the largest frame. */
  constructor(seed: number, most: number) {
    this.#state = Math.imul(seed, 0x9e3779b1) | 1;
    this.#most = most;
    this.#templates = Array.from({ length: TEMPLATES }, () => this.#template());
  }

  /** Makes the next frame. */
  next(): void {
    const template = this.#templates[this.#below(TEMPLATES)]!;
    this.bytes.set(template.bytes);
    this.length = Math.min(template.bytes.length, this.#most);
    if (template.isAnswer) {
      this.#view.setUint16(template.transportAt + 2, TRANSLATION.first + this.#below(TRANSLATION.count));
    }
    for (let left = this.#below(4); left > 0; left--) this.#mutate(template);
    this.pick = this.#random() >>> 0;
  }

  #mutate({ ipAt, transportAt, isIpv6 }: Template): void {
    const view = this.#view;
    switch (this.#below(12)) {
      case 0: // a byte of a header, or behind it
        this.bytes[this.#below(transportAt + 12)] = this.#random();
        break;
      case 1: // a bit
        this.bytes[this.#below(transportAt + 8)]! ^= 1 << this.#below(8);
        break;
      case 2: // any halfword
        view.setUint16(this.#below(transportAt + 8), this.#of(ODD_WORDS));
        break;
      case 3: // the length of the IP packet
        view.setUint16(ipAt + (isIpv6 ? 4 : 2), this.#length(this.length - ipAt - (isIpv6 ? 40 : 0)));
        break;
      case 4: // the length of the datagram
        view.setUint16(transportAt + 4, this.#length(this.length - transportAt));
        break;
      case 5: // cut off
        this.length = Math.max(14, this.#below(this.length + 1));
        break;
      case 6: { // more behind it
        const longer = Math.min(this.#most, this.length + this.#of([1, 4, 18, 46, 300, 1500]));
        for (let at = this.length; at < longer; at++) this.bytes[at] = at;
        this.length = Math.max(this.length, longer);
        break;
      }
      case 7: // hops
        this.bytes[ipAt + (isIpv6 ? 7 : 8)] = this.#below(4);
        break;
      case 8: // an address
        view.setInt32(ipAt + (isIpv6 ? 8 + 4 * this.#below(8) : 12 + 4 * this.#below(2)), this.#of(ADDRESSES));
        break;
      case 9: // what follows the IP header
        this.bytes[ipAt + (isIpv6 ? 6 : 9)] = this.#of(PROTOCOLS);
        break;
      case 10: // another frame's bytes
        this.bytes.copyWithin(this.#below(80), this.#below(80), 80 + this.#below(80));
        break;
      default: // a fragment, DF or not
        if (!isIpv6) view.setUint16(ipAt + 6, this.#of([0, 0x4000, 0x2000, 0x8000, 1, 0x1fff]));
        else this.bytes[this.#below(12)] = this.#random();
    }
  }

  /** Nearly right, or not at all. */
  #length(right: number): number {
    return this.#below(2) === 0 ? right - 3 + this.#below(7) : this.#of(ODD_WORDS);
  }

  #template(): Template {
    const version = this.#of([4, 6] as const);
    const isIpv6 = version === 6;
    const isAnswer = this.#below(5) < 2;
    const client = { mac: MACS.client, address: this.#of(ENDS.clients[version]), port: 40_000 + this.#below(8) };
    const service = {
      mac: MACS.box,
      address: ENDS.service[version],
      port: this.#of([PORTS.echo, PORTS.count, PORTS.nat, PORTS.nat, PORTS.nat, PORTS.dsr, 9]),
    };
    const backend = { mac: MACS.backend, address: this.#of(ENDS.backends[version]), port: PORTS.backend };
    const box = { mac: MACS.box, address: ENDS.box[version], port: TRANSLATION.first };
    const tag = { id: this.#of([5, BACKEND_VLAN, 0xe000]), type: this.#of([0x8100, 0x88a8]) };
    const options: FrameOptions = {
      source: isAnswer ? backend : client,
      destination: isAnswer ? box : service,
      vlans: this.#of([[], [], [tag], [tag, { id: 7 }]]),
      hops: this.#of([64, 64, 64, 255, 1, 2]),
      checksum: isIpv6 || this.#below(4) > 0,
      payload: new Uint8Array(this.#of(SIZES)).map(() => this.#random()),
      padTo: this.#of([0, 0, 60, 64, 200]),
      ...(isIpv6 ? { ipv6Extensions: this.#of(EXTENSIONS) } : {
        ipv4Options: new Uint8Array(this.#of([0, 0, 0, 4, 40])).fill(1),
        ...(this.#below(3) === 0 ? { ipv4Fragment: { offset: 0, more: false } } : {}), // may be fragmented
      }),
    };
    const frame = buildFrame(options);
    const bytes = this.#below(4) === 0 ? withPartialChecksum(frame, options) : frame.bytes;
    return { bytes, ipAt: frame.ipAt, transportAt: frame.transportAt, isIpv6, isAnswer };
  }

  #of<T>(all: readonly T[]): T {
    return all[this.#below(all.length)]!;
  }

  #below(limit: number): number {
    return (this.#random() >>> 0) % limit;
  }

  #random(): number {
    let bits = this.#state;
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    return this.#state = bits;
  }
}

const EXTENSIONS: readonly NonNullable<FrameOptions["ipv6Extensions"]>[] = [
  [],
  [],
  [],
  [{ kind: "destination" }],
  [{ kind: "hopByHop" }, { kind: "routing" }],
  [{ kind: "routing", segmentsLeft: 1 }],
  [{ kind: "fragment", fragment: { offset: 0, more: false } }],
  [{ kind: "authentication" }, { kind: "destination", bytes: 256 }],
  Array(6).fill({ kind: "destination" }),
  Array(7).fill({ kind: "destination" }),
];
