import assert from "node:assert/strict";
import { parseConfig } from "../config/parse.ts";
import type { Config } from "../config/schema.ts";
import { fixedDifference, liveDifference } from "./difference.ts";

const config = (interfaces: string, rules: string, more = ""): Config =>
  parseConfig(`version: 1\ninterfaces: [${interfaces}]\nsteering: [${rules}]\n${more}`, {
    file: "s.yaml",
    cpuCount: 4,
  });
const ETH0 = "{ name: eth0 }";
const GAME = "{ name: game, ports: 7777 }";

Deno.test("fixedDifference() names each key that needs a restart, with what it is and would be", () => {
  const before = config(ETH0, GAME, "workers: { count: 2 }");
  assert.deepEqual(fixedDifference(before, config(ETH0, "", "workers: { count: 2 }")), [], "rules do not");
  const after = config(
    "{ name: eth0, rings: { rx: 4096 } }, { name: eth1 }",
    GAME,
    "workers: { count: 3, wait: poll, cpus: [1, 2, 3] }\nlog: { level: debug }",
  );
  assert.deepEqual(fixedDifference(before, after), [
    "interfaces.eth0.rings.rx: 2048 -> 4096",
    "+ interfaces.eth1",
    "workers.count: 2 -> 3",
    "workers.cpus: [] -> [1,2,3]",
    "workers.wait: adaptive -> poll",
    "log.level: info -> debug",
  ]);
  assert.deepEqual(fixedDifference(after, before).slice(0, 2), [
    "interfaces.eth0.rings.rx: 4096 -> 2048",
    "- interfaces.eth1",
  ]);
});

Deno.test("liveDifference() says what a reload would change", () => {
  const forwarding = "forwarding: { addresses: [192.0.2.9] }";
  assert.deepEqual(liveDifference(config(ETH0, GAME), config(ETH0, GAME)), []);
  const found = liveDifference(config(ETH0, GAME), config(ETH0, "{ name: chat, ports: 9090 }", forwarding));
  assert.deepEqual(found.map((line) => line.slice(0, 6)), ["+ chat", "- game", "~ tran"]);
  assert.deepEqual(fixedDifference(config(ETH0, GAME), config(ETH0, GAME, forwarding)), [], "addresses change live");
});
