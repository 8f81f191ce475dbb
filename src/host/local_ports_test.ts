import assert from "node:assert/strict";
import { parseConfig } from "../config/parse.ts";
import { parseAddress } from "../packet/address.ts";
import { portsText } from "../steering/port_set.ts";
import { judgeLocalPorts, type LocalPorts, steeredPorts } from "./local_ports.ts";

const range = (text: string): { first: number; last: number } => {
  const [first = 0, last = first] = text.split("-").map(Number);
  return { first, last };
};
const local = (reserved: readonly string[] = []): LocalPorts => ({
  range: range("32768-60999"), // the kernel's own
  reserved: reserved.map(range),
});

function steered(rules: string, forwarding = "", own?: readonly string[]): string {
  const text = `version: 1\ninterfaces: [{ name: eth0 }]\nsteering: [${rules}]\n${forwarding}`;
  const config = parseConfig(text, { file: "steering.yaml", cpuCount: 2 });
  return portsText(steeredPorts(config.steering, config.forwarding.ports, own?.map(parseAddress)));
}

const FORWARD = 'action: { forward: { to: ["10.0.0.1:53"] } }';

Deno.test("steeredPorts() are those that never reach a program: no passed ones, translation ports where there are some", () => {
  assert.equal(steered('{ name: a, ports: [53, "100-200"] }, { name: b, ports: 201, action: drop }'), "53, 100-201");
  assert.equal(steered("{ name: a, ports: 53, action: pass }"), "");
  assert.equal(steered(`{ name: a, ports: 53, ${FORWARD} }`), "53, 61000-65535");
  assert.equal(steered(`{ name: a, ports: 53, ${FORWARD.replace("to:", "mode: dsr, to:")} }`), "53");
  const forwarding = 'forwarding: { ports: "40000-40999" }';
  assert.equal(steered(`{ name: a, ports: 53, ${FORWARD} }`, forwarding), "53, 40000-40999");
});

Deno.test("steeredPorts() leaves out what is listed for addresses that the box does not have", () => {
  const own = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
  const at = (addresses: string, more = ""): string =>
    `{ name: a${more.length}, ports: 53, addresses: ${addresses}${more} }`;
  for (const addresses of ["own", "any", "[192.0.2.2]", "[192.0.2.0/24]", '["2001:db8::/32"]']) {
    assert.equal(steered(at(addresses), "", own), "53", addresses);
  }
  for (const addresses of ["[198.51.100.1]", "[192.0.2.4/30]", '["2001:db8::2"]']) {
    assert.equal(steered(at(addresses), "", own), "", addresses);
    assert.equal(steered(at(addresses)), "53", `${addresses}, whoever has them`);
  }
  // Backends answer to the box's own addresses.
  assert.equal(steered(at("[198.51.100.1]", `, ${FORWARD}`), "", own), "61000-65535");
});

const TEXT = "to programs of this box, such as its resolver: answers to them never arrive";

Deno.test("judgeLocalPorts() names the ports that are left, and a command that keeps what is reserved", () => {
  const judge = (ports: readonly string[], reserved: readonly string[] = []): readonly (string | undefined)[] => {
    const { status, text, fix } = judgeLocalPorts(ports.map(range), local(reserved));
    return status === "ok" ? [] : [text, fix];
  };
  const command = "sysctl -w net.ipv4.ip_local_reserved_ports=";
  assert.deepEqual(judge(["53", "61000-65535"]), []);
  assert.deepEqual(judge(["40000"]), [`the kernel gives ports that are steered (40000) ${TEXT}`, `${command}40000`]);
  assert.deepEqual(judge(["40000-40010"], ["8080", "40005"]), [
    `the kernel gives ports that are steered (40000-40004, 40006-40010) ${TEXT}`,
    `${command}8080,40000-40010`,
  ]);
  // Reserved in two parts: neither holds all of it.
  assert.deepEqual(judge(["40000-40010"], ["40000-40004", "40005-40010"]), []);
  assert.deepEqual(judge(["1000-65535"]), [
    `the kernel gives ports that are steered (32768-60999) ${TEXT}`,
    `${command}32768-60999`,
  ]);
});
