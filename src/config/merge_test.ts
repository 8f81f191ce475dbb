import assert from "node:assert/strict";
import { SteerError } from "../errors.ts";
import { editSteering } from "./edit.ts";
import { parseConfig } from "./parse.ts";
import { readOrder, readPortList, setPorts, unsetPorts } from "./remap.ts";
import type { Config } from "./schema.ts";
import { complaints, HEAD } from "./testing.ts";

const OPTIONS = { file: "steering.yaml", cpuCount: 4 };
const parse = (text: string): Config => parseConfig(text, OPTIONS);
const set = (text: string, ports: string, worker: number, action?: string): string =>
  editSteering(text, setPorts(parse(text).steering, readOrder({ ports, worker, action }, parse(text))), OPTIONS);
const unset = (text: string, ports: string): string =>
  editSteering(text, unsetPorts(parse(text).steering, readPortList(ports)), OPTIONS);

const FILE = `${HEAD}x-defaults: &defaults # for game servers
  worker: 1
  action: echo
x-also: &also { action: count, worker: 2 }
steering:
  - <<: *defaults
    name: own
    ports: 1
    action: drop
  - { <<: [*defaults, *also], name: first, ports: 2 }
  - { <<: { worker: 3 }, name: inline, ports: 3 }
  - { <<: *ports, name: more, ports: 5 }
`.replace("*ports", "*also");

Deno.test("merge keys: what a map says itself goes first, then the first source that says it", () => {
  assert.deepEqual(parse(FILE).steering.map(({ name, worker, action }) => [name, worker, action.kind]), [
    ["own", 1, "drop"],
    ["first", 1, "echo"],
    ["inline", 3, "count"],
    ["more", 2, "count"],
  ]);
});

Deno.test("merge keys work at any depth, also at the top and through other merges", () => {
  const text = `x-base: &base
  version: 1
  interfaces: [{ name: eth0 }]
x-log: &log { level: warn }
x-all: &all { <<: *base, log: { <<: *log, format: json } }
<<: *all
`;
  assert.deepEqual(parse(text), parse(`${HEAD}log: { level: warn, format: json }`));
});

Deno.test("x- keys may hold anything, and mean nothing", () => {
  assert.deepEqual(parse(`${HEAD}x-a: [1, {b: c}]\nx-: ~\nx-steering: nonsense\n`), parse(HEAD));
});

Deno.test("what is wrong with a merged value is told where it is written, a clash where it is used", () => {
  const bad = `${HEAD}x-d: &d { worker: 9, prots: 1 }\nsteering: [{ <<: *d, name: a, ports: 1 }]`;
  assert.deepEqual(complaints(bad), [
    "3:19 worker 9 does not exist: expected 0 to 3, or hash, since workers.count is auto, 4 on this machine",
    '3:22 unknown key "prots": did you mean "ports"?',
  ]);
  const clash = `${HEAD}x-p: &p { ports: 7 }
steering:
  - { <<: *p, name: a }
  - { <<: *p, name: b }`;
  assert.deepEqual(complaints(clash), [
    '6:11 port 7 of rule "b" is already in rule "a" on line 5: expected each port once',
  ]);
  assert.deepEqual(complaints(`${HEAD}x-p: &p { worker: 1 }\nsteering: [{ <<: *p, ports: 7 }]`), [
    '4:12 missing key "name": expected 1 to 64 characters of A-Z a-z 0-9 _ . -',
  ]);
});

Deno.test("merge keys that double at each step are refused, not worked off", () => {
  const many = Array.from({ length: 2000 }, (_, index) => `k${index}: 1`).join(", ");
  const uses = Array.from({ length: 1000 }, () => "*a").join(", ");
  const [complaint] = complaints(`${HEAD}x-a: &a { ${many} }\nx-b: { <<: [${uses}] }`);
  assert.match(complaint!, /merge keys \(<<\) bring in too much: expected at most 1000000 keys in all/);
  const doubling = Array.from({ length: 60 }, (_, at) => `x-${at + 1}: &a${at + 1} { <<: [*a${at}, *a${at}] }`);
  assert.deepEqual(complaints(`${HEAD}x-0: &a0 { k: 1 }\n${doubling.join("\n")}`), [
    "1:1 too many aliases: expected at most 10000",
  ]);
});

Deno.test("--save writes beside what is merged, and leaves it as it is", () => {
  const changed = set(FILE, "2", 3);
  assert.equal(changed, FILE.replace("name: first, ports: 2 }", "name: first, ports: 2, worker: 3 }"));
  const merged = `${HEAD}x-p: &p { ports: [7, 8] }
steering:
  - <<: *p
    name: a
`;
  assert.equal(unset(merged, "8"), `${merged}    ports: 7\n`);
});

Deno.test("--save refuses a change that would reach others by an anchor, and says why", () => {
  const anchored = `${HEAD}steering:
  - &a { name: a, ports: 1, worker: 1 }
  - { <<: *a, name: b, ports: 2 }
`;
  const refused = (work: () => void, says: RegExp): void =>
    assert.throws(work, (error) => error instanceof SteerError && says.test(error.message));
  refused(() => set(anchored, "1", 2), /rule "a" has an anchor, and what uses that would change too/);
  refused(() => unset(anchored, "1"), /rule "a" has an anchor, and what uses that would change too/);
  assert.equal(set(anchored, "2", 2), anchored.replace("name: b, ports: 2", "name: b, ports: 2, worker: 2"));
  const whole = `x-s: &s { steering: [{ name: a, ports: 1 }] }\n${HEAD}<<: *s\n`;
  refused(() => set(whole, "1", 2), /steering comes from another map by a merge key \(<<\)/);
});
