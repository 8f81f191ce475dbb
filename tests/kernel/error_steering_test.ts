import assert from "node:assert/strict";
import fc from "fast-check";
import { readIcmpError, ReceivedError } from "../../src/packet/received_error.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import { buildIcmpError, ICMP_ERROR, ipPacketOf } from "../../src/traffic/icmp_frames.ts";
import { PASSED_ERRORS, STEERED_ERRORS } from "./error_frames.ts";
import { FORWARDED, LISTED, MACS, PASSED } from "./steer_frames.ts";
import { portMap, VerdictRig } from "./verdict_rig.ts";

async function loadRig(covered?: readonly number[]): Promise<VerdictRig> {
  const rig = await VerdictRig.load(covered === undefined ? {} : { covered });
  const forwards = { action: "redirect", errors: true, dropsFragments: true } as const;
  await rig.put(
    portMap({
      [FORWARDED]: { ...forwards, rule: 1 },
      [LISTED]: { action: "redirect", rule: 2 },
      [PASSED]: { ...forwards, action: "pass", rule: 3 },
    }),
    1,
  );
  return rig;
}

const error = new ReceivedError();
const isRead = (bytes: Uint8Array): boolean =>
  readIcmpError(new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length, error);

Deno.test("xdp_port_redirect steers ICMP errors about what forwarding has sent, and a worker reads them", async (test) => {
  await using rig = await loadRig();
  for (const [name, { bytes }] of STEERED_ERRORS) {
    await test.step(name, () => {
      assert.equal(rig.run(bytes), "STEERED");
      assert.ok(isRead(bytes));
      assert.equal(error.quoted.sourcePort, FORWARDED);
    });
  }
  const [packets, total] = rig.program.readRuleCounters(1);
  assert.equal(packets, STEERED_ERRORS.length);
  assert.equal(total, STEERED_ERRORS.reduce((sum, [, { bytes }]) => sum + bytes.length, 0));
});

Deno.test("xdp_port_redirect passes all other ICMP to the kernel stack", async (test) => {
  await using rig = await loadRig();
  for (const [name, { bytes }] of PASSED_ERRORS) {
    await test.step(name, () => assert.equal(rig.run(bytes), "NOT_UDP"));
  }
});

Deno.test("xdp_port_redirect steers no ICMP error of which not all is there, at whatever byte it is cut", async () => {
  await using rig = await loadRig();
  for (const [name, { bytes, endAt }] of STEERED_ERRORS) {
    for (let length = 14; length < endAt; length++) {
      assert.notEqual(rig.run(bytes.slice(0, length)), "STEERED", `${name}, cut to ${length} of ${bytes.length} bytes`);
    }
  }
});

Deno.test("xdp_port_redirect steers only ICMP errors that a worker can read, whatever bytes are changed", async () => {
  await using rig = await loadRig();
  const frames = fc.constantFrom(...STEERED_ERRORS.map(([, { bytes }]) => bytes));
  const changes = fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(frames, changes, (original, edits) => {
      const bytes = original.slice();
      for (const [at, value] of edits) bytes[12 + at % (bytes.length - 12)] = value;
      if (rig.run(bytes) === "STEERED") assert.ok(isRead(bytes) && error.quoted.sourcePort === FORWARDED);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("xdp_port_redirect passes an ICMP error for a worker that has no socket", async () => {
  await using rig = await loadRig([]);
  for (const [, { bytes }] of STEERED_ERRORS) assert.equal(rig.run(bytes), "UNCOVERED_QUEUE");
  assert.deepEqual([...rig.program.readRuleCounters(1).subarray(0, 6)], [0, 0, 0, 0, 0, 0]);
});

const FLOWS = 256;
/** Client and service of a flow. */
const ENDS: Readonly<Record<string, (flow: number) => readonly [client: string, port: number, service: string]>> = {
  "IPv4 ports": (flow) => ["198.51.100.7", 20_000 + flow, "192.0.2.2"],
  "IPv4 addresses": (flow) => [`198.51.${flow >> 8}.${flow & 0xff}`, 20_000, "192.0.2.2"],
  "IPv6 ports": (flow) => ["2001:db8::7", 20_000 + flow, "2001:db8::2"],
  "IPv6 addresses": (flow) => [`2001:db8::${flow.toString(16)}`, 20_000, "2001:db8::2"],
};

Deno.test("xdp_port_redirect steers an error about an answer to the worker that its client's packets go to", async () => {
  const workers = 3;
  await using first = await VerdictRig.load({ workers, covered: [0] });
  await using second = await VerdictRig.load({ workers, covered: [1], shareWith: first });
  await using third = await VerdictRig.load({ workers, covered: [2], shareWith: first });
  await first.put(portMap({ [FORWARDED]: { action: "spread", rule: 1, errors: true } }), 1);
  const ownersOf = (bytes: Uint8Array<ArrayBuffer>): number[] =>
    [first, second, third].flatMap((rig, worker) => (rig.run(bytes) === "STEERED" ? [worker] : []));
  for (const [kind, ends] of Object.entries(ENDS)) {
    const seen = new Set<number>();
    for (let flow = 0; flow < FLOWS; flow++) {
      const [client, port, service] = ends(flow);
      const there = { mac: MACS.from, address: client, port };
      const here = { mac: MACS.to, address: service, port: FORWARDED };
      const request = buildFrame({ source: there, destination: here, payload: new Uint8Array(20) });
      const answer = buildFrame({ source: here, destination: there, payload: new Uint8Array(900) });
      const [type, code] = ICMP_ERROR.portUnreachable[service.includes(":") ? "IPv6" : "IPv4"];
      const about = buildIcmpError({ source: there, destination: here, quoted: ipPacketOf(answer, 48), type, code });
      const [worker, ...others] = ownersOf(request.bytes);
      assert.deepEqual(others, []);
      assert.deepEqual(ownersOf(about.bytes), [worker], `flow ${flow} of ${kind}`);
      seen.add(worker!);
    }
    assert.equal(seen.size, workers, kind);
  }
});
