import assert from "node:assert/strict";
import { parseConfig } from "../config/parse.ts";
import type { Config } from "../config/schema.ts";
import { liveDifference } from "./difference.ts";
import { fixedDifference, requireHanded, wayOf } from "./fixed.ts";

const config = (interfaces: string, rules: string, more = ""): Config =>
  parseConfig(`version: 1\ninterfaces: [${interfaces}]\nsteering: [${rules}]\n${more}`, {
    file: "s.yaml",
    cpuCount: 4,
  });
const ETH0 = "{ name: eth0 }";
const GAME = "{ name: game, ports: 7777 }";

const NOTHING = { handover: [], restart: [] };

Deno.test("fixedDifference() names each key that this process cannot change, with what it is and would be", () => {
  const before = config(ETH0, GAME, "workers: { count: 2 }");
  assert.deepEqual(fixedDifference(before, config(ETH0, "", "workers: { count: 2 }")), NOTHING, "rules do not");
  const after = config(
    "{ name: eth0, umem: { chunks: 8192 } }, { name: eth1 }",
    GAME,
    "workers: { count: 3, wait: poll, cpus: [1, 2, 3] }\nlog: { level: debug }",
  );
  assert.deepEqual(fixedDifference(before, after), {
    handover: [
      "+ interfaces.eth1",
      "workers.count: 2 -> 3",
      "workers.cpus: [] -> [1,2,3]",
      "workers.wait: adaptive -> poll",
      "log.level: info -> debug",
    ],
    restart: [
      "interfaces.eth0.umem.chunks: 4096 -> 8192",
    ],
  });
  const back = fixedDifference(after, before);
  assert.deepEqual(back.restart, ["interfaces.eth0.umem.chunks: 8192 -> 4096"]);
  assert.ok(back.handover.includes("- interfaces.eth1"));
  assert.throws(() => requireHanded(before, after), /^SteerError: interfaces\.eth0\.umem\.chunks cannot/);
});

Deno.test("wayOf() knows keys, what they are part of, and interfaces with a point in their names", () => {
  assert.equal(wayOf(["forwarding", "addresses"]), "live");
  assert.equal(wayOf(["forwarding", "arrival"]), "handover");
  assert.equal(wayOf(["interfaces", "eth0.100", "umem", "chunks"]), "restart");
  assert.equal(wayOf(["steering"]), "live");
});

Deno.test("liveDifference() says what a reload would change", () => {
  const forwarding = "forwarding: { addresses: [192.0.2.9] }";
  assert.deepEqual(liveDifference(config(ETH0, GAME), config(ETH0, GAME)), []);
  const found = liveDifference(config(ETH0, GAME), config(ETH0, "{ name: chat, ports: 9090 }", forwarding));
  assert.deepEqual(found.map((line) => line.slice(0, 6)), ["+ chat", "- game", "~ tran"]);
  assert.deepEqual(
    fixedDifference(config(ETH0, GAME), config(ETH0, GAME, forwarding)),
    NOTHING,
    "addresses change live",
  );
});
