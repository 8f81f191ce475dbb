import assert from "node:assert/strict";
import { parseFile } from "./parse.ts";
import { configWarnings, ruleWarnings } from "./warnings.ts";

Deno.test("what this machine lacks is a warning, at its place in the file", () => {
  const warnings = (more: string): string[] => {
    const text =
      `version: 1\ninterfaces: [{ name: eth0 }]\nsteering: [{ name: a, ports: 53, action: count }]\n${more}\n`;
    const parsed = parseFile(text, { file: "steering.yaml", cpuCount: 2 });
    return configWarnings(parsed).map(({ line, message }) => `${line} ${message}`);
  };
  assert.match(
    warnings("workers: { cpus: [0, 1023] }").join(),
    /^4 CPU 1023 is not there: this machine has CPUs [\d,-]+: run would not start here$/,
  );
  assert.deepEqual(warnings("control: { group: no-such-group }"), [
    '4 there is no group "no-such-group" on this machine: run would not start here',
  ]);
  for (const socket of ["/tmp", "/"]) {
    assert.deepEqual(warnings(`control: { socket: ${socket} }`), [
      "4 a directory is there: expected a socket or nothing: run would not start here",
    ]);
  }
  assert.deepEqual(warnings("workers: { cpus: [0] }\ncontrol: { group: root, socket: /tmp/none.sock }"), []);
});

Deno.test("configWarnings() says that a file without rules steers nothing", () => {
  for (const steering of ["", "steering: []\n"]) {
    const text = `version: 1\ninterfaces: [{ name: eth0 }]\n${steering}`;
    const parsed = parseFile(text, { file: "steering.yaml", cpuCount: 2 });
    const [warning, ...others] = configWarnings(parsed);
    assert.match(warning!.message, /no rule under steering/);
    assert.deepEqual(others, []);
  }
});

Deno.test("services that lead to one backend with source: client are told, where they do", () => {
  const warnings = (...rules: readonly string[]): string[] => {
    const text = ["version: 1", "interfaces: [{ name: eth0 }]", "steering:", ...rules.map((rule) => `  - ${rule}`), ""];
    const parsed = parseFile(text.join("\n"), { file: "steering.yaml", cpuCount: 2 });
    return configWarnings(parsed).map(({ line, message }) => `${line} ${message}`);
  };
  const rule = (name: string, ports: string, to: string, source = "client"): string =>
    `{ name: ${name}, ports: ${ports}, action: { forward: { to: ["${to}"], source: ${source} } } }`;
  const one = rule("a", "53", "10.0.0.1:9000");
  assert.deepEqual(warnings(one, rule("b", "54", "10.0.0.1:9001"), rule("c", "55", "10.0.0.1:9000", "box")), []);
  const [again, ...others] = warnings(one, rule("b", "54", "10.0.0.1:9000"));
  assert.match(again!, /^5 backend "10\.0\.0\.1:9000" is in rule "a" too, and both have source: client: a client /);
  assert.deepEqual(others, []);
  assert.match(warnings(rule("a", "[53, 54]", "10.0.0.1:9000")).join(), /^4 source: client, and several ports lead to/);
});

Deno.test("a rule all of whose backends have weight: 0 or drain: true is told", () => {
  const warnings = (to: string, action = "forward"): string[] => {
    const text =
      `version: 1\ninterfaces: [{ name: eth0 }]\nsteering: [{ name: a, ports: 53, action: { ${action}: { to: [${to}] } } }]\n`;
    const parsed = parseFile(text, { file: "steering.yaml", cpuCount: 2 });
    assert.deepEqual(ruleWarnings(parsed.config), configWarnings(parsed).map(({ message }) => message));
    return configWarnings(parsed).map(({ line, message }) => `${line} ${message}`);
  };
  const told = (all: string): string[] => [
    `3 rule "a" has no backend that takes new sessions, for ${all} weight: 0 or drain: true: ` +
    "packets of new clients are lost",
  ];
  const idle = '{ address: "10.0.0.1:9", weight: 0 }, { address: "10.0.0.2:9", drain: true }';
  assert.deepEqual(warnings('{ address: "10.0.0.1:9", weight: 0 }'), told("its backend has"));
  assert.deepEqual(warnings('{ address: "a.test:9", drain: true }'), told("its backend has"));
  assert.deepEqual(warnings(idle), told("both of its backends have"));
  assert.deepEqual(warnings(`${idle}, { srv: _g._udp.test, drain: true }`), told("all 3 have"));
  for (const taking of ['"10.0.0.3:9"', '"a.test:9"', '{ address: "10.0.0.3:9", backup: true }']) {
    assert.deepEqual(warnings(`${idle}, ${taking}`), []);
  }
});
