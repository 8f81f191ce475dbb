import assert from "node:assert/strict";
import fc from "fast-check";
import { REASON, RULE_COUNTERS } from "../../src/bpf/layout.gen.ts";
import { RULE_COUNTER_FIELDS } from "../../src/bpf/rule_counters.ts";
import { type EventKind, VERDICT_OF_REASON } from "../../src/bpf/reasons.ts";
import { openEvents, type SteerEvent } from "../../src/bpf/events.ts";
import { possibleCpus } from "../../src/ffi/libbpf.ts";
import { readUdp, UdpPacket } from "../../src/packet/udp.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import {
  ANYONES,
  DELIVERED,
  DROPPED,
  FORWARDED,
  FRAME_CASES,
  ipv4,
  ipv6,
  LISTED,
  PASSED,
  STEERED_FRAMES,
} from "./steer_frames.ts";
import { LAST_SLOT, portMap, VerdictRig } from "./verdict_rig.ts";

const RULES = portMap({
  [LISTED]: { action: "redirect", rule: 1 },
  [PASSED]: { action: "pass", rule: 2 },
  [DELIVERED]: { action: "deliver", rule: 5, deliverTo: 5353 },
  [DROPPED]: { action: "drop", rule: 3, dropsFragments: true },
  [FORWARDED]: { action: "redirect", rule: 6, errors: true, dropsFragments: true },
  [ANYONES]: { action: "redirect", rule: 7, addresses: "any" },
  0: { action: "redirect", rule: 4 },
  1: { action: "redirect", rule: 5 },
  65535: { action: "redirect", rule: LAST_SLOT },
});

async function loadRig(covered?: readonly number[]): Promise<VerdictRig> {
  const rig = await VerdictRig.load(covered === undefined ? {} : { covered });
  await rig.put(RULES, 1);
  return rig;
}

const VERB = { redirect: "steers", drop: "drops", pass: "passes" } as const;

Deno.test("xdp_port_redirect", async (test) => {
  await using rig = await loadRig();
  for (const { name, reason, bytes } of FRAME_CASES) {
    const verb = VERB[VERDICT_OF_REASON[REASON[reason]]!];
    await test.step(`xdp_port_redirect ${verb} ${name} (${reason.toLowerCase()})`, () => {
      assert.equal(rig.run(bytes), reason);
    });
  }
  const { seen, byReason } = rig.counters();
  assert.equal(seen, FRAME_CASES.length);
  assert.equal(byReason.reduce((sum, count) => sum + count), seen);
});

Deno.test("xdp_port_redirect steers no datagram that is not all there, at whatever byte it is cut", async () => {
  await using rig = await loadRig();
  for (const [name, { bytes, endAt }] of STEERED_FRAMES) {
    for (let length = 14; length <= bytes.length; length++) { // the kernel runs nothing on less than an Ethernet header
      const reason = rig.run(bytes.slice(0, length));
      assert.equal(
        reason,
        length < endAt ? "TRUNCATED" : "STEERED",
        `${name}, cut to ${length} of ${bytes.length} bytes`,
      );
    }
  }
});

Deno.test("xdp_port_redirect steers only what a worker can read, whatever bytes are changed", async () => {
  await using rig = await loadRig();
  const packet = new UdpPacket();
  const frames = fc.constantFrom(...STEERED_FRAMES.map(([, { bytes }]) => bytes));
  const changes = fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(frames, changes, (original, edits) => {
      const bytes = original.slice();
      // The first 12 bytes are addresses, which nothing depends on.
      for (const [at, value] of edits) bytes[12 + at % (bytes.length - 12)] = value;
      if (rig.run(bytes) !== "STEERED") return;
      assert.ok(readUdp(new DataView(bytes.buffer), 0, bytes.length, packet));
      assert.ok([LISTED, FORWARDED, ANYONES, 0, 1, 65535].includes(packet.destinationPort));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("xdp_port_redirect steers nothing that is random", async () => {
  await using rig = await loadRig();
  const noise = fc.uint8Array({ minLength: 14, maxLength: 200 }) as fc.Arbitrary<Uint8Array<ArrayBuffer>>;
  fc.assert(fc.property(noise, (bytes) => assert.notEqual(rig.run(bytes), "STEERED")), { numRuns: 1000 });
});

Deno.test("xdp_port_redirect passes a packet for a worker that has no socket, and does not count it as redirected", async () => {
  await using rig = await loadRig([]);
  for (let run = 0; run < 100; run++) assert.equal(rig.run(ipv4().bytes), "UNCOVERED_QUEUE");
  assert.deepEqual([...rig.program.readRuleCounters(1).subarray(0, 6)], [0, 0, 0, 0, 0, 0]);
});

/** For each kind of event a frame that causes it, and what the event says. */
const EVENTS: Readonly<
  Record<
    EventKind,
    Pick<SteerEvent, "port" | "reason"> & { readonly bytes: Uint8Array<ArrayBuffer>; readonly covered?: number[] }
  >
> = {
  uncovered_queue: { covered: [], bytes: ipv4().bytes, reason: "uncovered_queue", port: LISTED },
  malformed: { bytes: ipv6().bytes.slice(0, 60), reason: "truncated", port: 0 },
};

for (const [kind, { bytes, covered, ...more }] of Object.entries(EVENTS)) {
  Deno.test(`xdp_port_redirect reports ${kind}, and a flood of them as one`, async () => {
    await using rig = await loadRig(covered);
    const events: SteerEvent[] = [];
    using ring = openEvents(rig.program.eventsFd, (event) => events.push(event));
    for (let run = 0; run < 100; run++) rig.run(bytes);
    ring.consume();
    // One a CPU: this thread may have moved.
    assert.ok(events.length >= 1 && events.length <= possibleCpus());
    const { ifindex: _, ...event } = events[0]!;
    assert.deepEqual(event, { kind, ...more, queue: 0, length: bytes.length, suppressed: 0 });
  });
}

Deno.test("xdp_port_redirect counts each rule's packets and bytes exactly", async () => {
  await using rig = await loadRig();
  const field = (offset: number): number =>
    RULE_COUNTER_FIELDS.findIndex(({ map, word }) => map === "rules" && word === offset / 8);
  const columns = {
    redirect: [field(RULE_COUNTERS.redirectedPackets), field(RULE_COUNTERS.redirectedBytes)],
    pass: [field(RULE_COUNTERS.passedPackets), field(RULE_COUNTERS.passedBytes)],
    drop: [field(RULE_COUNTERS.droppedPackets), field(RULE_COUNTERS.droppedBytes)],
  } as const;
  const rules = [
    { port: LISTED, rule: 1, column: columns.redirect },
    { port: PASSED, rule: 2, column: columns.pass },
    { port: DROPPED, rule: 3, column: columns.drop },
    { port: 65535, rule: 8191, column: columns.redirect },
  ];
  for (const { port, rule, column: [packets, bytes] } of rules) {
    const expected = new Float64Array(RULE_COUNTER_FIELDS.length);
    for (const variation of [{}, { padTo: 60 }, { payload: new Uint8Array(1400) }, { vlans: [{ id: 7 }] }]) {
      for (const { bytes: frame } of [ipv4({ port, ...variation }), ipv6({ port, ...variation })]) {
        rig.run(frame);
        expected[packets!]! += 1;
        expected[bytes!]! += frame.length;
      }
    }
    rig.run(ipv4({ port }).bytes.slice(0, 40)); // cut: no rule counts it
    assert.deepEqual(rig.program.readRuleCounters(rule), expected, `rule ${rule}`);
  }
  assert.deepEqual([...rig.program.readRuleCounters(8).subarray(0, 6)], [0, 0, 0, 0, 0, 0]);
});

Deno.test("xdp_port_redirect steers to the worker that the port was given to", async () => {
  const map = portMap({ 5000: { action: "redirect", worker: 0 }, 5001: { action: "redirect", worker: 1 } });
  for (const covered of [0, 1]) {
    await using rig = await VerdictRig.load({ workers: 2, covered: [covered] });
    await rig.put(map, 1);
    for (const worker of [0, 1]) {
      const reason = rig.run(ipv4({ port: 5000 + worker }).bytes);
      assert.equal(reason, worker === covered ? "STEERED" : "UNCOVERED_QUEUE");
    }
  }
});

type Endpoints = readonly [from: string, port: number, to: string];

Deno.test("xdp_port_redirect spreads flows evenly, and a flow to one worker only", async () => {
  const workers = 4;
  const flows = 1024;
  // One instance for each worker, with a socket for that worker alone: it steers that worker's flows, and no other.
  await using first = await VerdictRig.load({ workers, covered: [0] });
  await using second = await VerdictRig.load({ workers, covered: [1], shareWith: first });
  await using third = await VerdictRig.load({ workers, covered: [2], shareWith: first });
  await using fourth = await VerdictRig.load({ workers, covered: [3], shareWith: first });
  await first.put(portMap({ [LISTED]: { action: "spread", rule: 1 } }), 1);
  const kinds: Readonly<Record<string, (flow: number) => Endpoints>> = {
    "IPv4 source ports": (flow) => ["198.51.100.7", 20_000 + flow, "192.0.2.2"],
    "IPv4 source addresses": (flow) => [`198.51.${flow >> 8}.${flow & 0xff}`, 20_000, "192.0.2.2"],
    "IPv6 source ports": (flow) => ["2001:db8::7", 20_000 + flow, "2001:db8::2"],
    "IPv6 source addresses": (flow) => [`2001:db8::${flow.toString(16)}`, 20_000, "2001:db8::2"],
    "IPv6 source networks": (flow) => [`2001:db8:${flow.toString(16)}::7`, 20_000, "2001:db8::2"],
  };
  for (const [kind, endpoints] of Object.entries(kinds)) {
    const counts = new Array<number>(workers).fill(0);
    for (let flow = 0; flow < flows; flow++) {
      const [from, port, to] = endpoints(flow);
      const { bytes } = buildFrame({
        source: { mac: "02:00:00:00:00:01", address: from, port },
        destination: { mac: "02:00:00:00:00:02", address: to, port: LISTED },
        payload: new Uint8Array([flow & 0xff]), // must not matter
      });
      const again = bytes.slice();
      again[again.length - 1]! ^= 0xff;
      const owners = [first, second, third, fourth].flatMap((rig, worker) => {
        const reason = rig.run(bytes);
        assert.equal(rig.run(again), reason);
        return reason === "STEERED" ? [worker] : [];
      });
      assert.equal(owners.length, 1, `flow ${flow} has one worker`);
      counts[owners[0]!]! += 1;
    }
    // 256 each on average. Nothing here is random: the same counts come out every time.
    for (const count of counts) assert.ok(count > 200 && count < 312, `${kind}: ${counts.join(", ")}`);
  }
});
