import assert from "node:assert/strict";
import type { PortRange, Rule } from "../steering/rule.ts";
import { parseConfig } from "../config/parse.ts";
import { IPV4, UdpPacket } from "../packet/udp.ts";
import {
  BACKEND,
  backendAt,
  createForwardTables,
  FORWARD,
  forwardAt,
  viewForwardTables,
} from "../steering/forward_table.ts";
import { SessionTable } from "../steering/sessions.ts";
import { answerRules, forwarderOptions } from "./translation.ts";

const CONFIG = {
  ports: { first: 100, last: 199 },
  addresses: [],
  nameServers: [],
  sessions: 1024,
  tableSize: 251,
  arrival: "strict",
} as const;

Deno.test("answerRules() shares the translation ports out, but for those that a rule has", () => {
  const portsOf = (...taken: PortRange[]): unknown => {
    const rules: Rule[] = [{
      name: "other",
      ports: taken,
      worker: 0,
      action: { kind: "count" },
      addresses: "own",
      fragments: "drop",
    }];
    return answerRules(CONFIG, 2, rules).map(({ ports }) =>
      ports.map(({ first, last }) => `${first}-${last}`).join(",")
    );
  };
  assert.deepEqual(portsOf(), ["100-149", "150-199"]);
  assert.deepEqual(portsOf({ first: 1, last: 99 }, { first: 200, last: 300 }), ["100-149", "150-199"]);
  assert.deepEqual(portsOf({ first: 120, last: 120 }), ["100-119,121-149", "150-199"]);
  assert.deepEqual(portsOf({ first: 140, last: 160 }, { first: 100, last: 101 }), ["102-139", "161-199"]);
  assert.deepEqual(portsOf({ first: 1, last: 149 }), ["", "150-199"]);
});

/** Sessions with one backend that each of two workers reaches with the documented defaults, none replacing another. */
function reachedWith(places: number): number[] {
  const text = "version: 1\ninterfaces: [{ name: eth0 }]\nworkers: { count: 2 }\n";
  const { forwarding } = parseConfig(text, { file: "steering.yaml", cpuCount: 2 });
  const forward = viewForwardTables(createForwardTables(4), 4)[0]!;
  forward.forwardOfRule[1] = 1;
  forward.forwards[forwardAt(0) + FORWARD.idle] = 60;
  forward.backends[backendAt(1) + BACKEND.generation] = 1;
  const view = new DataView(new ArrayBuffer(64));
  const packet = new UdpPacket();
  packet.udp = 32;
  return [0, 1].map((worker) => {
    const table = new SessionTable(forwarderOptions(forwarding, worker, 2, { low: 1, high: 2 }, 4));
    table.follow(forward);
    let reached = 0;
    for (let client = 0; table.evicted === 0; client++) {
      reached = table.live;
      view.setInt32(IPV4.source, client);
      view.setInt32(32, 7777 << 16 | 40_000);
      assert.ok(table.add(view, packet, table.hashOf(view, packet), 1, 1, 1, places) >= 0);
    }
    return reached;
  });
}

Deno.test("the documented number of sessions with each backend is reached, with one translation address and with more", () => {
  assert.deepEqual(reachedWith(0b1), [2268, 2268]);
  assert.deepEqual(reachedWith(0b11), [2 * 2268, 2 * 2268]);
  assert.deepEqual(reachedWith(0b1111_1111), [8 * 2268, 8 * 2268]);
});
