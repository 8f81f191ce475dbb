/**
 * Mutated frames through a worker's loop, in both directions at once: between interfaces whose chunks differ in size,
 * with what is in all of packet memory watched.
 */
import assert from "node:assert/strict";
import { FakeQueue, FRAME_AT } from "../../tests/support/fake_queue.ts";
import { LoopRig, portRule } from "../../tests/support/loop_rig.ts";
import {
  BACKEND_VLAN,
  ENDS,
  MACS,
  type MutatedFrames,
  mutatedFrames,
  PORTS,
  SEEDS,
  TRANSLATION,
} from "../../tests/support/mutated_frames.ts";
import { SIZE } from "../../tests/support/sizes.ts";
import { type Backend, ForwardWriter } from "../backends/forward_writer.ts";
import type { FrameDevice, NextHop, NextHopSource, PrefixRoute } from "../backends/next_hop/next_hops.ts";
import { parseAddress, parseMac } from "../packet/address.ts";
import { readUdp, UdpPacket } from "../packet/udp.ts";
import { NO_ARRIVAL } from "../steering/arrivals.ts";
import { CLIENT_ADDRESSES, type Forward, type ForwardMode, TUNNELS } from "../steering/forward.ts";
import { TABLE } from "./control_words.ts";

const INTERFACES = ["clients", "backends", "both"] as const;
const CHUNK_SIZES = [2048, 4096, 2048] as const;
/** Of the interfaces, some larger than their chunks; they change while packets come. */
const MTUS = [[1500, 3000, 1400], [1280, 9000, 1500], [3000, 1500, 3000]] as const;
const BATCH = 32;
const CHUNKS = 64;
/** Batches between two forward tables. */
const TABLE_BATCHES = 50;
/** A frame's chunk may be written to from here on: ICMP and link headers in front of it. */
const HEAD = 192;
/** Where a frame that is copied begins at the earliest. */
const COPY_AT = 252;

/** Says of each backend where it is: the last is in a VLAN, and behind the interface of other clients. */
class Ways implements NextHopSource {
  mtus: readonly number[] = MTUS[0];
  /** False: the first backend of each IP version does not answer. */
  answers = true;

  lookup(destination: Uint8Array): NextHop {
    const isIpv6 = destination.length === 16;
    const host = destination.at(-1)! & 3;
    const isLast = host === 3;
    return {
      ifindex: isLast ? 2 : 1,
      interfaceName: isLast ? "both" : "backends",
      routeIfindex: 1,
      vlan: isLast ? [{ protocol: 0x8100, id: BACKEND_VLAN }] : [],
      source: parseAddress(ENDS.box[isIpv6 ? 6 : 4]),
      sourceMac: parseMac(MACS.box),
      gateway: null,
      mtu: this.mtus[isLast ? 2 : 1]!,
      mac: host === 1 && !this.answers ? null : parseMac(MACS.backend),
      up: true,
    };
  }

  devices(): FrameDevice[] {
    return INTERFACES.map((interfaceName, ifindex) => {
      const mtu = this.mtus[ifindex]!;
      return { ifindex, interfaceName, routeIfindex: ifindex, vlan: [], mtu };
    });
  }

  routes(): PrefixRoute[] {
    return [];
  }

  provoke(): void {}

  [Symbol.dispose](): void {}
}

const RULES = [
  portRule("echo", PORTS.echo, "echo"),
  portRule("count", PORTS.count, "count"),
  portRule("nat", PORTS.nat, "forward"),
  portRule("dsr", PORTS.dsr, "forward"),
  {
    ...portRule("answers", 0, "answer"),
    ports: [{ first: TRANSLATION.first, last: TRANSLATION.first + TRANSLATION.count - 1 }],
  },
];

const TO = [...ENDS.backends[4], ...ENDS.backends[6]].map((address) => ({
  name: `${address} ${PORTS.backend}`,
  address,
  port: PORTS.backend,
  weight: 1,
}));

/** @param number Of the table: what is added to packets differs from one to the next. */
function forward(mode: ForwardMode, number: number): Forward {
  const times = { idleTimeout: 60, drainTimeout: 600 };
  const choice = { affinity: "flow", answers: null, slowStart: null, failOpen: null } as const;
  const clientAddress = CLIENT_ADDRESSES[number % CLIENT_ADDRESSES.length]!;
  const tunnel = [null, ...TUNNELS][number % (TUNNELS.length + 1)]!;
  return {
    to: TO,
    names: [],
    mode,
    remapPort: mode === "dsr" ? 6060 : null,
    ...times,
    ...{ clientAddress, source: "box", tunnel },
    ...choice,
    health: null,
    noneLeft: "drop",
  };
}

/** A queue whose chunks hold what they are known to hold, but for what was written where it may be. */
class WatchedQueue {
  readonly queue: FakeQueue;
  readonly #words: Int32Array;
  /** What memory held after the last look. */
  readonly #known: Int32Array;
  /**
   * By chunk: up to where it may have been written to since, from {@linkcode HEAD} on; negative: only copied into, from
   * {@linkcode COPY_AT} on; 0: it is not in use.
   */
  readonly #used: Int32Array;
  /** By chunk: 1 while a frame that was copied into it is to be sent. */
  readonly #copied = new Uint8Array(CHUNKS);

  constructor(readonly interfaceName: string, chunkSize: number) {
    this.queue = new FakeQueue({ chunks: CHUNKS, chunkSize, reserve: 32 });
    this.queue.memory.forEach((_, at, memory) => memory[at] = at * 31 + (at >> 8));
    this.#words = new Int32Array(this.queue.memory.buffer);
    this.#known = this.#words.slice();
    this.#used = new Int32Array(CHUNKS);
    const { exchange } = this.queue.sockets[0]!.port;
    const take = exchange.take.bind(exchange);
    exchange.take = () => {
      const addr = take();
      if (addr >= 0) this.#copied[addr / chunkSize] = 1;
      return addr;
    };
  }

  /** @returns False when there is no chunk for the frame. */
  deliver({ bytes, length }: MutatedFrames): boolean {
    const { queue } = this;
    const chunk = queue.fill.consume();
    if (chunk === undefined) return false;
    const at = chunk.addr + FRAME_AT;
    const last = length >> 2;
    for (let index = 0; index < length; index++) queue.memory[at + index] = bytes[index]!;
    for (let word = 0; word <= last; word++) this.#known[(at >> 2) + word] = this.#words[(at >> 2) + word]!;
    this.#used[chunk.addr / queue.chunkSize] = FRAME_AT + length;
    assert.ok(queue.sockets[0]!.rx.produce(at, length));
    return true;
  }

  /** Sends what is to be sent, and looks at every frame. */
  transmit(look: (view: DataView, addr: number, length: number) => void): void {
    const { memory, sockets: [socket], completion, chunkSize } = this.queue;
    const view = new DataView(memory.buffer);
    for (let sent = socket!.tx.consume(); sent !== undefined; sent = socket!.tx.consume()) {
      const { addr, length } = sent;
      const chunk = Math.floor(addr / chunkSize);
      const end = addr - chunk * chunkSize + length;
      if (length < 14 || end > chunkSize) throw new Error(`${length} bytes at ${addr} are not within a chunk`);
      if (this.#copied[chunk] === 1) {
        // It may have been received into, too, and given back.
        const used = this.#used[chunk]!;
        this.#used[chunk] = used > 0 ? Math.max(used, end + 3) : -(end + 3);
        this.#copied[chunk] = 0;
      }
      look(view, addr, length);
      completion.produce(addr);
    }
  }

  /**
   * Sees that nothing was written to where nothing may be.
   *
   * @param isIdle No frame is kept from one look to the next.
   */
  check(isIdle: boolean): void {
    const words = this.#words;
    const known = this.#known;
    const perChunk = this.queue.chunkSize >> 2;
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      const used = this.#used[chunk]!;
      const start = chunk * perChunk;
      const from = used === 0 ? perChunk : (used > 0 ? HEAD : COPY_AT) >> 2;
      const to = used === 0 ? perChunk : (Math.abs(used) + 3) >> 2;
      for (let word = 0; word < perChunk; word++) {
        if (word === from) {
          for (; word < to; word++) known[start + word] = words[start + word]!;
          if (word === perChunk) break;
        }
        if (words[start + word] !== known[start + word]) {
          throw new Error(`${this.interfaceName}: chunk ${chunk} was written to at ${word << 2}`);
        }
      }
      if (used < 0 || isIdle) this.#used[chunk] = 0;
    }
  }
}

/** What was sent must be right, whatever came. */
class Witness {
  readonly #packet = new UdpPacket();

  constructor(private readonly ways: Ways) {}

  look(view: DataView, addr: number, length: number, networkInterface: number): void {
    const packet = this.#packet;
    if (!readUdp(view, addr, length, packet)) return; // an ICMP error
    const linkBytes = packet.ip - packet.ethernet;
    if (length > 60 && length !== linkBytes + packet.ipBytes) throw new Error(`${length} bytes of ${packet.ipBytes}`);
    if (view.getUint8(packet.ip + (packet.isIpv6 ? 7 : 8)) === 0) throw new Error("sent without a hop left");
    if (packet.sourcePort === PORTS.echo) return; // echoes leave as they came
    const mtu = this.ways.mtus[networkInterface]!;
    if (packet.ipBytes > mtu) throw new Error(`${packet.ipBytes} bytes where the MTU is ${mtu}`);
  }
}

for (const seed of SEEDS) {
  Deno.test(`mutated frames: no byte outside of its chunk, no exception, one fate for each; seed ${seed}`, () => {
    const watched = INTERFACES.map((name, index) => new WatchedQueue(name, CHUNK_SIZES[index]!));
    const rig = new LoopRig({
      queues: watched.map(({ queue }) => queue),
      interfaces: [0, 1, 2],
      sessions: { firstPort: TRANSLATION.first, portCount: TRANSLATION.count },
    });
    rig.setRules(RULES);
    const ways = new Ways();
    const steered = INTERFACES.map((name, ifindex) => ({
      ...{ name, currentName: name, ifindex },
      condition: { state: "attached", why: "" },
    }));
    const writer = new ForwardWriter(251, steered, () => 0);
    let table = 0;
    const putTable = (): void => {
      const version = rig.control.version(TABLE.forward) + 1;
      ways.mtus = MTUS[table % MTUS.length]!;
      ways.answers = table % 4 !== 1;
      const rules = [
        { name: "nat", slot: 3, firstPort: 1, spec: forward(table % 5 === 4 ? "dsr" : "nat", table) },
        { name: "dsr", slot: 4, firstPort: 1, spec: forward("dsr", table) },
      ];
      const backends = new Map(TO.map((spec, index): [string, Backend] => [spec.name, {
        ...{ spec, address: parseAddress(spec.address), row: index + 1, generation: index + 1, leftMs: undefined },
        ...{ checks: [], drainMs: 0, nextHop: undefined, source: undefined, arrival: NO_ARRIVAL },
      }]));
      writer.write(
        rig.forwardTables[version & 1]!,
        { rules, retired: [], backends, sources: [], holds: new Map(), answers: 0 },
        ways,
        new Map(),
      );
      rig.control.publish(TABLE.forward, version);
      table++;
    };
    const generators = mutatedFrames(seed);
    const witness = new Witness(ways);
    const looks = INTERFACES.map((_, index) => (view: DataView, addr: number, length: number): void =>
      witness.look(view, addr, length, index)
    );
    const decided = (): number => rig.received().reduce((sum, count) => sum + count, 0);
    let delivered = 0;
    const wanted = SIZE.mutatedFrames / SEEDS.length;
    try {
      for (let batch = 0; delivered < wanted; batch++) {
        // What was forwarded by one table must not be judged by the next.
        if (batch % TABLE_BATCHES === 0) putTable();
        for (let frame = 0; frame < BATCH; frame++) {
          // Clients are mostly behind the first interface, backends behind the second.
          const index = (delivered + frame) % INTERFACES.length;
          generators[index]!.next();
          if (watched[index]!.deliver(generators[index]!)) delivered++;
        }
        rig.nowMs += 100; // longer than a packet is parked, before the next table
        rig.step();
        for (let index = 0; index < watched.length; index++) watched[index]!.transmit(looks[index]!);
        const isIdle = decided() === delivered;
        for (const queue of watched) queue.check(isIdle);
      }
      rig.nowMs += 5000;
      rig.step(10); // what was parked
    } catch (error) {
      throw new Error(`seed ${seed}, after ${delivered} frames`, { cause: error });
    }
    const fates = rig.fates();
    assert.equal(Object.values(fates).reduce((sum, count) => sum + count, 0), delivered);
    assert.equal(decided(), delivered);
    for (const fate of ["forwarded", "returned", "echoed", "counted", "too_big", "hops_exceeded", "malformed"]) {
      assert.ok((fates[fate] ?? 0) > 0, `no packet became ${fate}: ${JSON.stringify(fates)}`);
    }
    for (const fate of ["no_session", "unanswerable", "wrong_interface", "no_neighbour", "unlisted"]) {
      assert.ok((fates[fate] ?? 0) > 0, `no packet became ${fate}: ${JSON.stringify(fates)}`);
    }
    for (const { queue } of watched) {
      queue.transmit();
      assert.deepEqual(queue.takeAllChunks(), Array.from({ length: CHUNKS }, (_, chunk) => chunk));
    }
  });
}
