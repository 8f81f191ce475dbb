import assert from "node:assert/strict";
import { IPV4, IPV6, TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { finish, productCommand, TempDir } from "./support/command.ts";
import { dnsServer } from "./support/programs.ts";

interface Probed {
  readonly backend: string;
  readonly check: string;
  readonly succeeded: boolean;
  readonly hindered: boolean;
  readonly reason: string;
}

/** A rule of a name and a port, one backend and its check. */
const rule = (port: number, backend: string, check: string): string =>
  `  - { name: rule-${port}, ports: ${port}, action: { forward: { to: ["${backend}"], health: { ${check} } } } }\n`;

Deno.test("check --probe runs every check once: a real query over IPv4 and IPv6, and what fails says why", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  await using _ = await dnsServer(network.names.client, [IPV4.client, IPV6.client]);
  const [four, six] = [`${IPV4.client}:53`, `[${IPV6.client}]:53`];
  const cases: readonly (readonly [backend: string, check: string, result: boolean, reason: RegExp])[] = [
    [four, "check: dns, name: host.test, timeout: 5", true, /^answered$/],
    [six, "check: dns, name: host.test., type: AAAA, timeout: 5", true, /^answered$/],
    [four, "check: dns, timeout: 5", false, /^answered REFUSED$/],
    [six, "check: tcp, timeout: 5", true, /^connected$/],
    [four, "check: icmp, timeout: 5", true, /^answered$/],
    [`${IPV4.client}:9`, "check: dns, timeout: 5", false, /^nobody listens on the port \(ECONNREFUSED\)$/],
  ];
  const file = `${directory.path}/steering.yaml`;
  const rules = cases.map(([backend, check], index) => rule(8000 + index, backend, check)).join("");
  await Deno.writeTextFile(file, `version: 1\ninterfaces: [{ name: steer0 }]\nsteering:\n${rules}`);
  const check = (...more: string[]): ReturnType<typeof finish> =>
    finish(network, [...productCommand(), "check", file, ...more]);
  const { code, stdout, stderr } = await check("--probe", "--json");
  assert.equal(code, 1, stderr);
  const { probes } = JSON.parse(stdout) as { probes: Probed[] };
  assert.deepEqual(probes.map(({ backend }) => backend), cases.map(([backend]) => backend));
  for (const [index, { succeeded, hindered, reason }] of probes.entries()) {
    const [, what, expected, words] = cases[index]!;
    assert.deepEqual([succeeded, hindered, words.test(reason)], [expected, false, true], `${what}: ${reason}`);
  }
  assert.match((await check("--probe")).stdout, /^\S+:53 +dns +FAILED +- +answered REFUSED$/m);
  assert.equal((await check()).code, 0, "nothing is asked without it");
  await Deno.writeTextFile(
    file,
    `version: 1\ninterfaces: [{ name: steer0 }]\nsteering:\n${rule(80, four, cases[0]![1])}`,
  );
  assert.equal((await check("--probe")).code, 0);
});

Deno.test("a backend is healthy by check: dns while its server answers", async () => {
  await using network = await TestNetwork.create();
  await using server = await dnsServer(network.names.client, [IPV4.client]);
  const health = "check: dns, name: host.test, interval: 0.3, timeout: 0.25, fall: 3, rise: 1";
  const rules = `${rule(53, `${IPV4.client}:53`, health)}`;
  await using box = await startAppliance(
    network,
    (socket) =>
      `version: 1\ninterfaces: [{ name: steer0 }]\nsteering:\n${rules}control: { socket: ${socket}, http: off }\n`,
  );
  const reasons = async (fits: (reason: string, healthy: boolean) => boolean): Promise<void> => {
    await box.untilStatus(
      "its health",
      ({ backends: [backend] }) => fits(backend?.health?.reason ?? "", backend?.health?.healthy ?? false),
    );
  };
  await reasons((reason, healthy) => reason === "answered" && healthy);
  server.freeze();
  await reasons((reason, healthy) => reason === "no answer in 250 ms" && !healthy);
  server.signal("SIGCONT");
  await reasons((reason, healthy) => reason === "answered" && healthy);
});
