/**
 * What the runbook's tables and lists tell people to do: each command runs on a box, and each setting is one. Needs
 * root and dist/xdpsteer.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../src/config/parse.ts";
import { Sandbox } from "./sandbox.ts";
import { binary, ROOT } from "./support.ts";

const DOCUMENTS = ["docs/operations.md", "docs/forwarding.md"];
const PROGRAMS =
  /^(bpftool|curl|dmesg|ethtool|free|ip|journalctl|ls|nc|nsenter|ss|ssh|sysctl|systemctl|tcpdump|ulimit|xdpsteer) /;
/** What stands for something of the reader's, and what it is in the sandbox. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  BACKEND: "10.0.0.9",
  INTERFACE: "eth0",
  PREFIX: "203.0.113.0/24",
  PEER: "peer0",
  PORT: "7779",
  SOCKET: "/run/xdpsteer/control.sock",
  "…": "7779",
};
/** What is not run, and why not. */
const NOT_RUN: readonly (readonly [command: RegExp, reason: string])[] = [
  [/^(systemctl|journalctl) /, "needs systemd as process 1; systemd_test.ts has the unit checked"],
  [/^tcpdump /, "the tests capture with tshark; a machine need not have both"],
  [/^ulimit -l /, "a container's root may not raise it"],
  [/^ssh -L /, "needs another machine"],
  [
    /^(nsenter --net|ip netns exec|bpftool link detach|ip route add local|ethtool -L)$/,
    "a command's name, without the rest",
  ],
  [/^xdpsteer (detach --force|backends drain)$/, "a command's name, without the rest"],
  [/^ethtool -K eth0 lro off$/, "a veth has no LRO"],
  [/^ethtool -l eth0$/, "a veth's queues are not called combined"],
];
/** What does not end by itself: it is ended after a moment. */
const WAITS = /^nc /;
/** Exit codes other than 0 that are right here. */
const CODES: readonly (readonly [command: RegExp, code: number])[] = [
  [WAITS, 124],
  [/^xdpsteer confirm$/, 1], // no change waits
  [/^xdpsteer detach --interface eth0$/, 1], // it says who holds the program, and how to end it
];

/** `code` in tables and lists, with its place. */
async function inlineCode(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const document of DOCUMENTS) {
    const lines = (await Deno.readTextFile(join(ROOT, document))).split("\n");
    for (const [index, line] of lines.entries()) {
      if (!/^(\||- )/.test(line)) continue;
      for (const [, code] of line.matchAll(/`([^`]+)`/g)) {
        if (code!.includes(" ")) found.set(code!, `${document}:${index + 1}`);
      }
    }
  }
  return found;
}

const FORWARD =
  "{ name: dns, ports: 53, action: { forward: { to: ['10.0.0.9:53', '10.0.0.12:9000', '10.0.0.13:9000'] } } }";
/** A configuration with a setting in each place where there can be one of its name. */
const PLACES: readonly ((setting: string) => string)[] = [
  (setting) => `interfaces: [{ name: eth0, ${setting} }]\nsteering: [${FORWARD}]\n`,
  (setting) => `interfaces: [{ name: eth0, umem: { ${setting} } }]\nsteering: [${FORWARD}]\n`,
  (setting) => `interfaces: [{ name: eth0 }]\nsteering: [{ name: a, ports: 53, ${setting} }]\n`,
  (setting) => `interfaces: [{ name: eth0 }]\nsteering: [${FORWARD.replace("{ to:", `{ ${setting}, to:`)}]\n`,
  (setting) =>
    `interfaces: [{ name: eth0 }]\nsteering: [${
      FORWARD.replace("'10.0.0.9:53'", `{ address: '10.0.0.9:53', ${setting} }`)
    }]\n`,
  (setting) => `interfaces: [{ name: eth0 }]\nsteering: [${FORWARD}]\nforwarding: { ${setting} }\n`,
  (setting) => `interfaces: [{ name: eth0 }]\nsteering: [${FORWARD}]\ncontrol: { ${setting} }\n`,
];

/** Whether a configuration may say so somewhere. */
function isSetting(text: string): boolean {
  const setting = text.replace(/^control\./, "");
  return PLACES.some((place) => {
    try {
      parseConfig(`version: 1\n${place(setting)}`, { file: "steering.yaml", cpuCount: 4 });
      return true;
    } catch {
      return false;
    }
  });
}

Deno.test("each setting that a remedy names can be in a configuration", async () => {
  const settings = [...await inlineCode()].filter(([code]) => /^[a-z_.]+: /.test(code));
  assert.ok(settings.length >= 10, `only ${settings.length} found`);
  for (const [code, place] of settings) assert.ok(isSetting(code), `${place}: no configuration takes "${code}"`);
  assert.ok(!isSetting("chunk_sizes: 4096") && !isSetting("attach: faster"));
});

Deno.test("each command that a remedy names runs on a box", async (test) => {
  const config = `version: 1\ninterfaces: [{ name: eth0 }]\nsteering: [${FORWARD}]\n`;
  await using sandbox = await Sandbox.create(binary(), config);
  const used = new Set<RegExp>();
  const found = [...await inlineCode()].filter(([code]) => PROGRAMS.test(code));
  assert.ok(found.length >= 25, `only ${found.length} found`);
  for (const [code, place] of found) {
    const skipped = NOT_RUN.find(([pattern]) => pattern.test(code));
    if (skipped !== undefined) {
      used.add(skipped[0]);
      continue;
    }
    const whole = code.replaceAll(/\b[A-Z]{4,}\b|…/g, (word) => PLACEHOLDERS[word] ?? word);
    await test.step(`${place}: ${whole}`, async () => {
      const { code: ended, output } = await sandbox.run(WAITS.test(whole) ? `timeout 1 ${whole}` : whole);
      const expected = CODES.find(([pattern]) => pattern.test(whole))?.[1] ?? 0;
      assert.equal(ended, expected, `${place}: ended with ${ended}: ${whole}\n${output}`);
    });
  }
  assert.deepEqual(NOT_RUN.filter(([pattern]) => !used.has(pattern)), [], "entries for commands that are gone");
  const { output } = await sandbox.run("ip route get 10.0.0.9; xdpsteer ports list");
  assert.match(output, /^10\.0\.0\.9 dev eth0 /, "the route that the remedy adds");
  assert.match(output, /^7779 .*\becho\b/m, "the port that the remedy gives to a worker");
});
