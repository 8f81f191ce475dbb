import assert from "node:assert/strict";
import type { Finding } from "../../src/doctor/doctor.ts";
import { INTERFACES, IPV4, TestNetwork } from "../support/netns.ts";
import { finish, productCommand, TempDir } from "./support/command.ts";
import { configText } from "./support/config.ts";

const FORWARD = (...to: readonly string[]): string =>
  `{ name: web, ports: 8080, action: { forward: { to: [${to.map((name) => `"${name}"`).join(", ")}] } } }`;

interface Told {
  /** Warnings of check, without the file's name. */
  readonly warnings: readonly string[];
  readonly finding: Finding;
  readonly answers: Finding | undefined;
  readonly doctor: number;
}

Deno.test("check and doctor tell of backends that no packet would get to, as the running program does", async (test) => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  for (
    const command of [
      ["ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1"],
      ["ip", "link", "set", "other0", "up"],
      ["ip", "link", "set", "other1", "up"],
      ["ip", "address", "add", "10.14.0.2/24", "dev", "other0"],
      ["ip", "route", "add", "unreachable", "10.15.0.0/24"],
    ]
  ) await network.exec("steer", command);
  const file = `${directory.path}/steering.yaml`;
  const tell = async (rules: readonly string[], networkInterface: string = INTERFACES.steer): Promise<Told> => {
    const config = configText({ rules, interface: networkInterface }, `${directory.path}/control.sock`);
    await Deno.writeTextFile(file, config);
    const checked = await finish(network, [...productCommand(), "check", file]);
    assert.equal(checked.code, 0, checked.stderr);
    const examined = await finish(network, [...productCommand(), "doctor", "--json", "--config", file]);
    const { findings }: { findings: Finding[] } = JSON.parse(examined.stdout);
    return {
      warnings: checked.stderr.split("\n").filter((line) => line.startsWith("warning: ")),
      finding: findings.find(({ check }) => check === "forwarding.backends")!,
      answers: findings.find(({ check }) => check === "forwarding.answers"),
      doctor: examined.code,
    };
  };

  await test.step("nothing is said of a backend that can be reached, though nobody has asked for its MAC", async () => {
    const { warnings, finding, doctor } = await tell([FORWARD("10.11.0.77:9000", `${IPV4.client}:9000`)]);
    assert.deepEqual([warnings, finding.status, doctor], [[], "ok", 0]);
    assert.equal(finding.text, "there is a way to all 2 backends");
  });

  const bad: Readonly<Record<string, readonly [text: RegExp, fix: RegExp]>> = {
    [`${IPV4.steer}:9000`]: [/it is an address of this box/, /correct the address under to:/],
    "10.11.0.255:9000": [/it is a broadcast or multicast address/, /correct the address under to:/],
    "192.0.2.9:9000": [/no route/, /ip route add 192\.0\.2\.9/],
    "10.15.0.9:9000": [/a route refuses its packets/, /delete that route/],
    "10.14.0.9:9000": [
      /no route by a steered interface: other0 is not listed/,
      /add \{ name: other0 \} to interfaces:/,
    ],
  };
  for (const [name, [text, fix]] of Object.entries(bad)) {
    await test.step(`${name}: ${text.source}`, async () => {
      const { warnings, finding, doctor } = await tell([FORWARD(`${IPV4.client}:9000`, name)]);
      assert.equal(warnings.length, 1, warnings.join("\n"));
      assert.match(warnings[0]!, new RegExp(`steering\\.yaml:\\d+:\\d+: no packet would get to backend ${name}: `));
      assert.match(warnings[0]!, text);
      assert.match(warnings[0]!, fix);
      assert.deepEqual([finding.status, doctor], ["problem", 1]);
      assert.match(finding.text, new RegExp(`^no packet would get to 1 backend of 2: ${name} \\(`));
      assert.match(finding.text, text);
      assert.match(finding.fix!, fix);
    });
  }

  await test.step("with source: client, which route the backends need", async () => {
    const [kept, nothing] = [", source: client } } }", " } } }"].map((end) =>
      FORWARD(`${IPV4.client}:9000`, "10.11.0.9:9000", "[fd11::9]:9000").replace(" } } }", end)
    );
    const { answers, doctor } = await tell([kept!]);
    assert.deepEqual([answers!.status, doctor], ["ok", 0]);
    const routes = [`via ${IPV4.steer}`, "fd11::9: ip -6 route replace default via fd11::2"];
    for (const words of routes) assert.ok(answers!.text.includes(words), answers!.text);
    assert.equal((await tell([nothing!])).answers, undefined);
  });

  await test.step("without rules that forward, and on a machine that has not the interfaces, there is no such word", async () => {
    assert.equal((await tell(["{ name: web, ports: 8080, action: echo }"])).finding, undefined);
    const { warnings } = await tell([FORWARD("192.0.2.9:9000")], "elsewhere0");
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /run would not start here/);
  });
});
