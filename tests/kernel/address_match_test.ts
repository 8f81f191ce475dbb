/** Which rule of a port gets a packet, by its destination address, and what is none of the box's. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { VERDICT } from "../../src/bpf/layout.gen.ts";
import { testRun } from "../../src/ffi/libbpf.ts";
import { parseAddress, parseMac } from "../../src/packet/address.ts";
import { type Addresses, isWithin, parsePrefix } from "../../src/steering/addresses.ts";
import { PORT_ACTION, type PortMap } from "../../src/steering/port_map.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import { FORWARDED, ipv4, ipv6, LISTED, MACS } from "./steer_frames.ts";
import { portMap, VerdictRig } from "./verdict_rig.ts";

const PORT = 53;

function frameTo(address: string, port = PORT): Uint8Array<ArrayBuffer> {
  return buildFrame({
    source: { mac: MACS.from, address: address.includes(":") ? "2001:db8:ffff::1" : "203.0.113.1", port: 40_000 },
    destination: { mac: MACS.to, address, port },
    payload: new Uint8Array(20),
  }).bytes;
}

/** Rules for one port, each dropping, in slots from 1 on. */
function rules(...all: readonly Addresses[]): PortMap {
  return all.map((addresses, index) => ({
    ...{ first: PORT, last: PORT, addresses, errors: false, dropsFragments: false, worker: 0 },
    action: PORT_ACTION.drop,
    rule: index + 1,
  }));
}

/** The slot of the rule that got a frame; undefined where it passed, for which the reason has to be other_address. */
function slotOf(rig: VerdictRig, frame: Uint8Array<ArrayBuffer>, slots: number): number | undefined {
  const dropped = (): number[] =>
    Array.from({ length: slots }, (_, index) => rig.program.readRuleCounters(index + 1)[2]!);
  const before = dropped();
  const reason = rig.run(frame);
  const got = dropped().findIndex((packets, index) => packets !== before[index]);
  assert.equal(reason, got < 0 ? "OTHER_ADDRESS" : "RULE_DROP");
  return got < 0 ? undefined : got + 1;
}

const POOL = ["10.0.0", "10.0.1", "172.16.5"].flatMap((net) => [0, 1, 2, 127, 128, 255].map((host) => `${net}.${host}`))
  .concat(
    ["2001:db8::", "2001:db8:0:1::"].flatMap((net) => ["0", "1", "2", "7fff", "8000"].map((host) => `${net}${host}`)),
  );
const POOLED_PREFIXES = ["10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/8", "172.16.0.0/12", "0.0.0.0/0"]
  .concat(["2001:db8::/64", "2001:db8::8000/113", "2001:db8::/32", "::/0"]);

const whole = (address: string): ReturnType<typeof parsePrefix> => parsePrefix(address);

Deno.test("the XDP program finds the rule of an address that a plain search finds, whatever the lists and own addresses", async () => {
  await using rig = await VerdictRig.load();
  let generation = 0;
  const own = fc.subarray(POOL, { maxLength: 12 });
  const lists = fc.array(fc.subarray([...POOL, ...POOLED_PREFIXES], { minLength: 1, maxLength: 8 }), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(own, lists, fc.boolean(), async (ownNow, wanted, hasOwn) => {
      // The first list that has an address keeps it, so that no two have one in common.
      const taken: string[] = [];
      const disjoint = wanted.map((list) =>
        list.filter((text) => {
          const overlaps = taken.some((other) =>
            isWithin(parsePrefix(text), parsePrefix(other)) || isWithin(parsePrefix(other), parsePrefix(text))
          );
          if (!overlaps) taken.push(text);
          return !overlaps;
        })
      ).filter((list) => list.length > 0);
      rig.own = { own: ownNow.map(parseAddress), broadcasts: [] };
      const all: Addresses[] = [...disjoint, ...hasOwn || disjoint.length === 0 ? ["own" as const] : []];
      await rig.put(rules(...all), ++generation);
      for (const address of POOL) {
        const listed = all.findIndex((addresses) =>
          typeof addresses !== "string" && addresses.some((text) => isWithin(whole(address), parsePrefix(text)))
        );
        const expected = listed >= 0 ? listed : ownNow.includes(address) ? all.indexOf("own") : -1;
        const slot = slotOf(rig, frameTo(address), all.length);
        assert.equal(slot, expected < 0 ? undefined : expected + 1, `${address} of ${JSON.stringify({ all, ownNow })}`);
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("the XDP program keeps apart as many lists as there can be, on one port", async () => {
  await using rig = await VerdictRig.load();
  const lists = Array.from({ length: 61 }, (_, index) => [`10.7.0.${index}`, `2001:db8:7::${index.toString(16)}`]);
  await rig.put(rules(...lists, "own"), 1);
  const verdict = (address: string): number => testRun(rig.program.fd, { data: frameTo(address), repeat: 1 });
  const dropped = (slot: number): number => rig.program.readRuleCounters(slot)[2]!;
  for (const [index, list] of lists.entries()) {
    for (const address of list) assert.equal(verdict(address), VERDICT.DROP);
    assert.equal(dropped(index + 1), 2, `list ${index}`);
  }
  assert.equal(verdict("192.0.2.2"), VERDICT.DROP);
  assert.equal(dropped(62), 1);
  assert.equal(verdict("10.7.0.61"), VERDICT.PASS);
  await assert.rejects(rig.put(rules(...lists, ["10.8.0.1"]), 2), /more than 61 different lists/);
  assert.equal(verdict("10.8.0.1"), VERDICT.PASS, "nothing has changed");
  assert.equal(verdict("10.7.0.1"), VERDICT.DROP);
});

Deno.test("the XDP program leaves nothing of addresses that are no longer the box's, or listed", async () => {
  await using rig = await VerdictRig.load();
  const many = Array.from({ length: 300 }, (_, index) => `10.9.${index >> 8}.${index & 255}`);
  for (const [index, ownNow] of [many, [], many.slice(100), [], []].entries()) {
    rig.own = { own: ownNow.map(parseAddress), broadcasts: [] };
    await rig.put(rules(index === 0 ? ["10.10.0.0/16", "10.11.0.1"] : ["10.12.0.1"], "own"), index + 1);
    for (const address of [0, 50, 99, 100, 299].map((at) => many[at]!)) {
      assert.equal(rig.run(frameTo(address)), ownNow.includes(address) ? "RULE_DROP" : "OTHER_ADDRESS");
    }
    assert.equal(rig.run(frameTo("10.10.3.4")), index === 0 ? "RULE_DROP" : "OTHER_ADDRESS");
  }
});

Deno.test("a first fragment is dropped, and an ICMP error steered, for an address of the rule only", async () => {
  await using rig = await VerdictRig.load();
  const forwards = { action: "redirect", rule: 1, errors: true, dropsFragments: true } as const;
  await rig.put(portMap({ [FORWARDED]: forwards }), 1);
  const fragment = { port: FORWARDED, ipv4Fragment: { offset: 0, more: true } } as const;
  assert.equal(rig.run(ipv4(fragment).bytes), "FRAGMENT_DROPPED");
  const elsewhere = { mac: MACS.to, address: "198.51.100.9", port: FORWARDED };
  assert.equal(rig.run(ipv4({ ...fragment, destination: elsewhere }).bytes), "FRAGMENT");
  rig.own = { own: [], broadcasts: [] };
  await rig.put(portMap({ [FORWARDED]: forwards }), 2);
  assert.equal(rig.run(ipv4(fragment).bytes), "FRAGMENT");
});

Deno.test("frames for any of a device's Ethernet addresses are the box's, and for none where they are not known", async () => {
  await using rig = await VerdictRig.load();
  await rig.put(portMap({ [LISTED]: { action: "drop" } }), 1);
  const macs = Array.from(
    { length: 64 },
    (_, index) => parseMac(`02:00:00:00:01:${index.toString(16).padStart(2, "0")}`),
  );
  const to = (mac: Uint8Array, frame = ipv4().bytes): Uint8Array<ArrayBuffer> => {
    const bytes = frame.slice();
    bytes.set(mac);
    return bytes;
  };
  rig.program.setDevice({ isLoopback: false, macs });
  for (const mac of macs) assert.equal(rig.run(to(mac)), "RULE_DROP");
  assert.equal(rig.run(ipv4().bytes), "OTHER_MAC");
  rig.program.setDevice({ isLoopback: false, macs: macs.slice(0, 3) });
  assert.equal(rig.run(to(macs[2]!, ipv6().bytes)), "RULE_DROP");
  assert.equal(rig.run(to(macs[3]!, ipv6().bytes)), "OTHER_MAC");
  for (const all of [[], [...macs, parseMac(MACS.from)]]) {
    rig.program.setDevice({ isLoopback: false, macs: all });
    assert.equal(rig.run(ipv4().bytes), "RULE_DROP", `${all.length} addresses`);
  }
});

Deno.test("the box's packets to itself are martian on no loopback device", async () => {
  await using rig = await VerdictRig.load();
  await rig.put(portMap({ [LISTED]: { action: "drop" } }), 1);
  const local = (address: string): Uint8Array<ArrayBuffer> => {
    const [from, to] = [40_000, LISTED].map((port) => ({ mac: "00:00:00:00:00:00", address, port }));
    return buildFrame({ source: from!, destination: to!, payload: new Uint8Array(20) }).bytes;
  };
  for (const isLoopback of [true, false]) {
    rig.program.setDevice({ isLoopback, macs: [new Uint8Array(6)] });
    for (const address of ["127.0.0.1", "127.9.9.9", "192.0.2.2", "::1"]) {
      assert.equal(rig.run(local(address)), isLoopback ? "RULE_DROP" : "MARTIAN_SOURCE", address);
    }
    assert.equal(rig.run(local("2001:db8::2")), "RULE_DROP", "as the kernel has it");
  }
});
