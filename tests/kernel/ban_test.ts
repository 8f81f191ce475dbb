/** Whose packets the XDP program drops because they are banned. */
import assert from "node:assert/strict";
import { BanTable, openBanRequests } from "../../src/bpf/ban_table.ts";
import { testRun } from "../../src/ffi/libbpf.ts";
import { formatAddress, parseAddress } from "../../src/packet/address.ts";
import { parsePrefix } from "../../src/steering/addresses.ts";
import type { Limit } from "../../src/steering/limit.ts";
import type { PortMap } from "../../src/steering/port_map.ts";
import type { RuleGuard } from "../../src/steering/rule_guard.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import { MACS } from "./steer_frames.ts";
import { portMap, VerdictRig } from "./verdict_rig.ts";

const PORT = 53;

/** A rule for each port from PORT on. */
function guarded(...guards: readonly (Partial<RuleGuard> | undefined)[]): PortMap {
  const rules = guards.map((guard, index) => {
    const rule = { action: "pass", addresses: "any", rule: 1 + index } as const;
    const guarded = guard === undefined ? {} : { guard: { name: `rule${index}`, policies: 0n, ...guard } };
    return [PORT + index, { ...rule, ...guarded }] as const;
  });
  return portMap(Object.fromEntries(rules));
}

function frameFrom(address: string, port = PORT): Uint8Array<ArrayBuffer> {
  return buildFrame({
    source: { mac: MACS.from, address, port: 40_000 },
    destination: { mac: MACS.to, address: address.includes(":") ? "2001:db8::2" : "192.0.2.2", port },
    payload: new Uint8Array(20),
  }).bytes;
}

Deno.test("a ban is for its prefix, and for all rules or for one", async () => {
  await using rig = await VerdictRig.load();
  const table = new BanTable(rig.program.banMaps);
  await rig.put(
    guarded({ bans: { forAll: true, scope: 0 } }, { bans: { forAll: true, scope: 7 } }, undefined, {
      bans: { forAll: false, scope: 7 },
    }),
    1,
  );
  const bans = [[0, "203.0.113.0/24"], [7, "198.51.100.7"], [0, "2001:db8:7::/48"], [7, "2001:db8:8::/64"]] as const;
  for (const [scope, prefix] of bans) table.add({ scope, prefix: parsePrefix(prefix) });
  const bannedFrom = (address: string): number[] =>
    [0, 1, 2, 3].filter((index) => rig.run(frameFrom(address, PORT + index)) === "BANNED");
  assert.deepEqual(bannedFrom("203.0.113.255"), [0, 1]);
  assert.deepEqual(bannedFrom("203.0.112.255"), []);
  assert.deepEqual(bannedFrom("198.51.100.7"), [1, 3]);
  assert.deepEqual(bannedFrom("198.51.100.8"), []);
  assert.deepEqual(bannedFrom("2001:db8:7:ffff::1"), [0, 1]);
  assert.deepEqual(bannedFrom("2001:db8:6:ffff::1"), []);
  assert.deepEqual(bannedFrom("2001:db8:8::1"), [1, 3]);
  assert.deepEqual(bannedFrom("2001:db8:8:1::1"), []);
  assert.deepEqual(bans.map(([scope, prefix]) => table.packets({ scope, prefix: parsePrefix(prefix) })), [2, 2, 2, 2]);
  for (const [scope, prefix] of bans) table.remove({ scope, prefix: parsePrefix(prefix) });
  assert.deepEqual(bannedFrom("203.0.113.255"), []);
});

Deno.test("a ban of a network leaves out the box's own addresses in it", async () => {
  await using rig = await VerdictRig.load();
  rig.own = { own: ["192.0.2.2", "2001:db8::2", "203.0.113.9", "2001:db8:7::9"].map(parseAddress), broadcasts: [] };
  const table = new BanTable(rig.program.banMaps);
  await rig.put(guarded({ bans: { forAll: true, scope: 0 } }), 1);
  for (const prefix of ["203.0.113.0/24", "2001:db8:7::/48"]) table.add({ scope: 0, prefix: parsePrefix(prefix) });
  const reasons = (...addresses: string[]): string[] => addresses.map((address) => rig.run(frameFrom(address)));
  assert.deepEqual(reasons("203.0.113.8", "203.0.113.9"), ["BANNED", "RULE_PASS"]);
  assert.deepEqual(reasons("2001:db8:7::8", "2001:db8:7::9"), ["BANNED", "RULE_PASS"]);
});

Deno.test("a source over its limit is named once a second, with the rule's limit", async () => {
  await using rig = await VerdictRig.load();
  const rates = { packets: 1, burst: 2, bytes: null, burstBytes: null };
  const limit: Limit = { perSource: rates, total: null, ipv4Prefix: 32, ipv6Prefix: 64, ban: 60, mode: "enforce" };
  await rig.put(guarded({ limit }, { limit: { ...limit, ban: null } }, { limit: { ...limit, mode: "observe" } }), 1);
  const named = new Set<string>();
  let requests = 0;
  using ring = openBanRequests(rig.program.banMaps, ({ limit, address }) => {
    named.add(`${rig.table.limits.ruleOf(limit)} ${formatAddress(address)}`);
    requests++;
  });
  for (let packet = 0; packet < 500; packet++) {
    for (const address of ["203.0.113.7", "2001:db8:7::7"]) {
      for (let rule = 0; rule < 3; rule++) {
        testRun(rig.program.fd, { data: frameFrom(address, PORT + rule), repeat: 1 });
      }
    }
  }
  ring.consume();
  assert.deepEqual([...named].sort(), ["rule0 2001:db8:7::7", "rule0 203.0.113.7"]);
  assert.ok(requests < 500, `${requests}`);
});
