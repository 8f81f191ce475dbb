/** Answers to clients that keep their addresses: what the XDP program does with them, before any rule. */
import assert from "node:assert/strict";
import { KEPT_SET, KEPT_TAG, LIMIT } from "../../src/bpf/layout.gen.ts";
import { Deadman } from "../../src/bpf/deadman.ts";
import { Heartbeats } from "../../src/bpf/heartbeats.ts";
import { type HandedKept, KeptTable } from "../../src/bpf/kept_table.ts";
import { Channel } from "../../src/ffi/channel.ts";
import { closeFd, openSocketPair } from "../../src/ffi/libc.ts";
import { viewMemory } from "../../src/ffi/memory.ts";
import { parseAddress } from "../../src/packet/address.ts";
import { portInPacket } from "../../src/packet/udp.ts";
import { KEPT_PLACES, KEPT_SET_BYTES, KEPT_TAKEN, KEPT_WORKER, KeptClients } from "../../src/steering/kept_clients.ts";
import { FLAG_IPV6, FLAG_LIVE, SESSION } from "../../src/steering/session_row.ts";
import { buildFrame, type FrameOptions } from "../../src/traffic/frames.ts";
import { buildIcmpError, ICMP_ERROR, ipPacketOf } from "../../src/traffic/icmp_frames.ts";
import { PATIENCE_MS, until } from "../e2e/support/wait.ts";
import { MACS } from "./steer_frames.ts";
import { portMap, VerdictRig } from "./verdict_rig.ts";

const [ANSWERS, ECHO, ANYONES] = [9, 1, 2];
const BACKEND_PORT = 9000;
const ECHO_PORT = 7777;
const ANY_PORT = 7778;
const WORKERS = 3;
const FAMILIES = {
  IPv4: { client: "198.51.100.7", other: "198.51.100.8", backend: "192.0.2.77", own: "192.0.2.2", router: "192.0.2.9" },
  IPv6: {
    client: "2001:db8:5::7",
    other: "2001:db8:5::8",
    backend: "2001:db8::77",
    own: "2001:db8::2",
    router: "2001:db8::9",
  },
} as const;
type Family = keyof typeof FAMILIES;
const BOTH = ["IPv4", "IPv6"] as const;

/** The first fragment of several. */
const FIRST = { offset: 0, more: true };

/** The program, and a session of each family and of some ports, in turn of each worker. */
class Rig implements AsyncDisposable {
  static readonly ports = [40_000, ECHO_PORT, ANY_PORT];

  private constructor(readonly rig: VerdictRig, readonly table: KeptTable) {}

  static async load(covered?: readonly number[]): Promise<Rig> {
    const rig = await VerdictRig.load({ workers: WORKERS, ...covered === undefined ? {} : { covered } });
    await rig.put(
      portMap({
        [ECHO_PORT]: { action: "redirect", rule: ECHO, dropsFragments: true },
        [ANY_PORT]: { action: "drop", rule: ANYONES, addresses: "any" },
      }),
      1,
    );
    const table = new KeptTable(rig.program, 1000);
    const { memory, setMask, key } = table.place;
    const backends = new Int32Array(8);
    let next = 0;
    for (const family of BOTH) {
      const { client, backend } = FAMILIES[family];
      new Uint8Array(backends.buffer).set(parseAddress(backend));
      for (const port of Rig.ports) {
        const words = new Int32Array(32);
        new Uint8Array(words.buffer).set(parseAddress(client), SESSION.client * 4);
        words[SESSION.ports] = portInPacket(port) | portInPacket(53) << 16;
        words[SESSION.flags] = FLAG_LIVE | (family === "IPv6" ? FLAG_IPV6 : 0);
        const worker = next++ % WORKERS;
        const kept = new KeptClients({ memory: viewMemory(memory), setMask, key, worker }, words);
        assert.ok(kept.take(0, backends, 0, portInPacket(BACKEND_PORT)));
      }
    }
    table.steer(new Set([BACKEND_PORT]), ANSWERS);
    return new Rig(rig, table);
  }

  answer(family: Family, port: number, more: Partial<FrameOptions> = {}): Uint8Array<ArrayBuffer> {
    const { client, backend } = FAMILIES[family];
    const source = { mac: MACS.from, address: backend, port: BACKEND_PORT };
    const destination = { mac: MACS.to, address: client, port };
    return buildFrame({ source, destination, payload: new Uint8Array(20), ...more }).bytes;
  }

  answers(): number {
    return this.rig.program.readRuleCounters(ANSWERS)[0]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.table[Symbol.dispose]();
    await this.rig[Symbol.asyncDispose]();
  }
}

Deno.test("both sides know the table by the same numbers", () => {
  assert.deepEqual(
    [LIMIT.KEPT_PLACES, KEPT_SET.size, KEPT_SET.rows, KEPT_TAG.WORKER, KEPT_TAG.TAKEN],
    [KEPT_PLACES, KEPT_SET_BYTES, KEPT_PLACES * 4, KEPT_WORKER, KEPT_TAKEN],
  );
});

Deno.test("an answer goes to the worker that has its session, whatever rule its port has", async () => {
  await using kept = await Rig.load();
  let count = 0;
  for (const family of BOTH) {
    for (const port of Rig.ports) {
      for (const more of [{}, { vlans: [{ id: 7 }] }, { payload: new Uint8Array(1000) }]) {
        assert.equal(kept.rig.run(kept.answer(family, port, more)), "STEERED", `${family} ${port}`);
        assert.equal(kept.answers(), ++count, "counted with the answers");
      }
    }
  }
});

Deno.test("the worker is the one that has the session: without its socket, the packet passes", async () => {
  await using kept = await Rig.load([1, 2]);
  const reasons = BOTH.map((family) => Rig.ports.map((port) => kept.rig.run(kept.answer(family, port))));
  const one = ["UNCOVERED_QUEUE", "STEERED", "STEERED"];
  assert.deepEqual(reasons, [one, one]);
});

/** What a process that takes over receives. */
async function received(table: KeptTable): Promise<HandedKept> {
  const [mine, theirs] = openSocketPair();
  const [from, to] = [new Channel(mine), new Channel(theirs)];
  const fds: number[] = [];
  const handed = table.handOver((fd) => fds.push(fd) - 1);
  from.send("", fds);
  const message = await to.receive(PATIENCE_MS);
  await from.close();
  await to.close();
  return { ...handed, sets: message!.fds[handed.sets]! };
}

Deno.test("another program that goes on with the table finds the sessions that are in it", async () => {
  await using kept = await Rig.load();
  await using next = await VerdictRig.load({ workers: WORKERS });
  await next.put(portMap({ [ECHO_PORT]: { action: "redirect", rule: ECHO } }), 1);
  const handed = await received(kept.table);
  const { key } = kept.table.place;
  {
    using table = new KeptTable(next.program, 1000, handed);
    table.steer(new Set([BACKEND_PORT]), ANSWERS);
    assert.deepEqual([table.place.key, table.isEmpty], [key, false]);
    for (const family of BOTH) {
      for (const port of Rig.ports) assert.equal(next.run(kept.answer(family, port)), "STEERED", `${family} ${port}`);
    }
  }
  assert.equal(kept.rig.run(kept.answer("IPv4", 40_000)), "STEERED", "and the first has it still");
  const other = await received(kept.table);
  using fresh = new KeptTable(next.program, 1000, { ...other, shape: "another" });
  assert.ok(fresh.isEmpty, "a table of another layout is no use");
  closeFd(other.sets);
});

Deno.test("what belongs to no session is decided by the rules", async () => {
  await using kept = await Rig.load();
  for (const family of BOTH) {
    const { client, other, backend } = FAMILIES[family];
    const to = { mac: MACS.to, address: client, port: 40_000 };
    const from = { mac: MACS.from, address: backend, port: BACKEND_PORT };
    const run = (port: number, more: Partial<FrameOptions>): string => kept.rig.run(kept.answer(family, port, more));
    assert.equal(run(40_001, {}), "UNLISTED_PORT", "another port of the client");
    assert.equal(run(40_000, { destination: { ...to, address: other } }), "UNLISTED_PORT", "another client");
    assert.equal(run(40_000, { source: { ...from, port: 9001 } }), "UNLISTED_PORT", "another port of the backend");
    assert.equal(run(40_000, { source: { ...from, address: other } }), "UNLISTED_PORT", "another host");
    assert.equal(run(40_000, { destination: { ...to, mac: "02:00:00:00:00:77" } }), "UNLISTED_PORT", "for another MAC");
    assert.equal(run(ECHO_PORT, { destination: { ...to, port: ECHO_PORT, address: other } }), "OTHER_ADDRESS");
    assert.equal(run(ANY_PORT, { destination: { ...to, port: ANY_PORT, address: other } }), "RULE_DROP");
  }
  const broken = kept.answer("IPv4", 40_000);
  broken[24]! ^= 1;
  assert.equal(kept.rig.run(broken), "UNLISTED_PORT", "a wrong checksum of the IP header");
  assert.equal(kept.answers(), 0);
});

Deno.test("an ICMP error about what a client has sent to a backend goes to the worker of the session", async () => {
  await using kept = await Rig.load();
  for (const family of BOTH) {
    const { client, backend, router } = FAMILIES[family];
    const [type, code] = ICMP_ERROR.portUnreachable[family];
    const error = (port: number, backendPort: number, to: string = client): Uint8Array<ArrayBuffer> => {
      const source = { mac: MACS.to, address: to, port };
      const destination = { mac: MACS.from, address: backend, port: backendPort };
      const quoted = ipPacketOf(buildFrame({ source, destination, payload: new Uint8Array(50) }));
      const ends = { source: { ...destination, address: router }, destination: source };
      return buildIcmpError({ ...ends, quoted, type, code }).bytes;
    };
    const before = kept.answers();
    for (const port of Rig.ports) assert.equal(kept.rig.run(error(port, BACKEND_PORT)), "STEERED", `${port}`);
    assert.equal(kept.answers() - before, Rig.ports.length);
    assert.equal(kept.rig.run(error(40_001, BACKEND_PORT)), "NOT_UDP");
    assert.equal(kept.rig.run(error(40_000, 9001)), "NOT_UDP");
    assert.equal(kept.rig.run(error(40_000, BACKEND_PORT, FAMILIES[family].other)), "NOT_UDP");
  }
});

Deno.test("a first fragment of an answer is dropped, others pass", async () => {
  await using kept = await Rig.load();
  const first = kept.answer("IPv4", 40_000, { ipv4Fragment: FIRST });
  const stranger = kept.answer("IPv4", 40_001, { ipv4Fragment: FIRST });
  assert.equal(kept.rig.run(first), "FRAGMENT_DROPPED");
  assert.equal(kept.rig.run(stranger), "FRAGMENT");
});

Deno.test("while no worker runs, answers pass as all else does", async () => {
  await using kept = await Rig.load();
  using heartbeats = new Heartbeats(kept.rig.program.controlFd);
  using _deadman = await Deadman.arm(kept.rig.program.controlFd);
  await until("everything to pass", () => heartbeats.deadman().isOn);
  for (const family of BOTH) {
    for (const more of [{}, { vlans: [{ id: 7 }] }]) {
      assert.equal(kept.rig.run(kept.answer(family, 40_000, more)), "UNLISTED_PORT");
      assert.equal(kept.rig.run(kept.answer(family, ECHO_PORT, more)), "DEADMAN");
    }
  }
  assert.equal(kept.rig.run(kept.answer("IPv4", 40_000, { ipv4Fragment: FIRST })), "FRAGMENT");
  assert.equal(kept.answers(), 0);
});

Deno.test("nothing is looked for once the table is gone", async () => {
  await using kept = await Rig.load();
  kept.table.rest();
  assert.equal(kept.rig.run(kept.answer("IPv4", 40_000)), "UNLISTED_PORT");
});
