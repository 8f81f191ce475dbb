/**
 * The commands in documents do what they say: every line of every `sh` block is run, or is in NOT_RUN with the reason.
 * Needs root and dist/xdpsteer.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Command } from "commander";
import { parse } from "yaml";
import { buildProgram } from "../../src/cli/commands.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { codeBlocks, indentedCode } from "./markdown.ts";
import { Sandbox } from "./sandbox.ts";
import { binary, ROOT, run, succeed } from "./support.ts";

/** What is not run, and why not. The first entry that fits a line counts. */
const NOT_RUN: readonly (readonly [command: RegExp, reason: string])[] = [
  [/_(NEW|OLD)VERSION_|\bNAMESPACE\b|\bPID\b|\bTHREAD\b/, "has a placeholder"],
  [/\b(systemctl|journalctl)\b|system\.slice/, "needs systemd as process 1; systemd_test.ts has the unit checked"],
  [/^kubectl /, "needs a cluster; manifests_test.ts checks the manifests"],
  [/^modprobe fou$|^ip fou |\btun\d\b/, "a backend's own commands: its kernel needs the modules fou, ipip and sit"],
  [/^curl .*lists\.example\.net/, "needs the internet"],
  [/^(podman|skopeo) /, "needs a container engine and a registry; manifests_test.ts checks the Containerfile"],
  [/^scripts\/dev demo$|^ssh box xdpsteer demo$/, "15 seconds; e2e/demo_test.ts runs the demo"],
  [/^scripts\/dev (test|release)\b/, "runs this test"],
  [/^scripts\/dev compile$/, "has made the file that this test runs"],
  [/^deno test /, "Deno is not on a box, and the test is one of the suite"],
  [/^xdpsteer run --user /, "does not end; confinement_test.ts runs it"],
  [/^diff .*last-good/, "there is none before a service has run; e2e/last_good_test.ts compares it"],
  [/^auditctl /, "needs the kernel's audit log, of which a machine has one"],
  [/^top -H/, "needs a terminal, and does not end"],
  [/^dig /, "asks a name server of the reader's; e2e/names_test.ts has one"],
  [/^ethtool -[lL] eth0/, "a veth's queues are not called combined"],
];
/** What does not end by itself: it is ended when it has printed something that fits. */
const ENDLESS: readonly (readonly [command: RegExp, shows: RegExp])[] = [[/^xdpsteer top$/, /^xdpsteer \d/]];
/** Exit codes other than 0 that are right here. */
const CODES: readonly (readonly [command: RegExp, codes: readonly number[]])[] = [
  [/^xdpsteer doctor\b/, [0, 1]], // 1: this machine has a problem
  [/^xdpsteer status --check$/, [1]], // the example's backends are not there
];

interface CommandLine {
  readonly place: string;
  readonly line: string;
}

async function documents(): Promise<ReadonlyMap<string, string>> {
  const files = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "packaging/*.md", "tests/*.md"];
  const names = (await succeed("git", "ls-files", "--cached", "--others", "--exclude-standard", ...files)).trim();
  return new Map(
    await Promise.all(
      names.split("\n").map(async (name) => [name, await Deno.readTextFile(join(ROOT, name))] as const),
    ),
  );
}

/** The lines of the sh blocks, without comments; one that ends with a backslash goes on in the next. */
async function commands(): Promise<CommandLine[]> {
  const found: CommandLine[] = [];
  for (const [name, markdown] of await documents()) {
    for (const { language, text, line: first } of codeBlocks(markdown)) {
      if (language !== "sh") continue;
      let joined = "";
      for (const [index, raw] of text.split("\n").entries()) {
        joined += raw.replace(/(^|\s+)# .*$/, "").trim();
        if (joined.endsWith("\\")) {
          joined = joined.slice(0, -1);
          continue;
        }
        if (joined !== "") found.push({ place: `${name}:${first + index + 1}`, line: joined });
        joined = "";
      }
    }
  }
  return found;
}

const entryFor = <Value>(
  table: readonly (readonly [RegExp, Value])[],
  line: string,
): readonly [RegExp, Value] | undefined => table.find(([pattern]) => pattern.test(line));

/** The README's example of a file, which its commands name. */
async function exampleConfig(): Promise<string> {
  const readme = (await documents()).get("README.md")!;
  return codeBlocks(readme).find(({ text }) => text.startsWith("# steering.yaml\n"))!.text;
}

async function configMapsConfig(): Promise<string> {
  const configMap = parse(await Deno.readTextFile(join(ROOT, "packaging/kubernetes/configmap.yaml")));
  return configMap.data["steering.yaml"];
}

Deno.test("every command of the documents runs, or is known not to", async (test) => {
  const config = await exampleConfig();
  const used = new Set<RegExp>();
  await using sandbox = await Sandbox.create(binary(), config);
  await sandbox.write(join(ROOT, "steering.yaml"), config);
  await sandbox.write(join(ROOT, "now.yaml"), await configMapsConfig()); // as kubectl would
  const seen = new Set<string>();
  for (const { place, line } of await commands()) {
    if (seen.has(line)) continue;
    seen.add(line);
    assert.equal((await run("sh", "-n", "-c", line)).code, 0, `${place}: not a command of sh: ${line}`);
    const skipped = entryFor(NOT_RUN, line);
    if (skipped !== undefined) {
      used.add(skipped[0]);
      continue;
    }
    await test.step(`${place}: ${line}`, async () => {
      // The one file instead of the sources, which is quicker.
      const command = line.replace(/^scripts\/dev xdpsteer /, "xdpsteer ");
      if (/\bxdpsteer run /.test(command)) return await sandbox.start(command);
      const endless = entryFor(ENDLESS, command);
      if (endless !== undefined) return assert.match(await sandbox.glimpse(command), endless[1]);
      const { code, output } = await sandbox.run(command);
      const expected = entryFor(CODES, command)?.[1] ?? [0];
      assert.ok(expected.includes(code), `${place}: ended with ${code}: ${line}\n${output}`);
    });
  }
  assert.deepEqual(NOT_RUN.filter(([pattern]) => !used.has(pattern)), [], "entries for commands that are gone");
});

Deno.test("commands within sentences name verbs and options that exist", async () => {
  const program = buildProgram(new URL("file:///main.ts"));
  let count = 0;
  for (const [name, markdown] of await documents()) {
    for (const [, line] of markdown.matchAll(/`(?:scripts\/dev )?xdpsteer ([a-z][^`]*)`/g)) {
      const words = line!.split(/\s+/);
      let command: Command = program;
      while (command.commands.length > 0) {
        const next = command.commands.find((candidate) => candidate.name() === words[0]);
        assert.ok(next !== undefined, `${name}: there is no command "${words[0]}" in \`xdpsteer ${line}\``);
        command = next;
        words.shift();
        if (words.length === 0) break;
      }
      const options = command.options.flatMap(({ long, short }) => [long, short]);
      for (const word of words.filter((word) => word.startsWith("-"))) {
        assert.ok(options.includes(word.replace(/[=.,;]+.*$/, "")), `${name}: \`xdpsteer ${line}\` has no ${word}`);
      }
      count++;
    }
  }
  assert.ok(count > 15, `only ${count} found`);
});

Deno.test("scripts/dev xdpsteer starts the program from its sources", async () => {
  const { version } = JSON.parse(await succeed("scripts/dev", "xdpsteer", "version", "--json"));
  assert.equal(version, JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json"))).version);
});

Deno.test("every block of code says what it is, so that no command is overlooked", async () => {
  const LANGUAGES = ["sh", "yaml", "promql", "mermaid", "text", "json", "ts", "c"];
  for (const [name, markdown] of await documents()) {
    for (const { language, line } of codeBlocks(markdown)) {
      assert.ok(
        LANGUAGES.includes(language),
        `${name}:${line}: a block of "${language}": expected ${LANGUAGES.join(", ")}`,
      );
    }
    assert.deepEqual(indentedCode(markdown), [], `${name}: code that is only indented`);
  }
});

Deno.test("every configuration in the documents is valid", async () => {
  let count = 0;
  for (const [name, markdown] of await documents()) {
    for (const { language, text, line } of codeBlocks(markdown)) {
      if (language !== "yaml" || !/^steering:/m.test(text)) continue;
      const whole = /^version:/m.test(text) ? text : `version: 1\ninterfaces: [{ name: eth0 }]\n${text}`;
      parseConfig(whole, { file: `${name}:${line}`, cpuCount: 4 });
      count++;
    }
  }
  assert.ok(count >= 8, `only ${count} found`);
});

Deno.test("the documents install xdpsteer where the unit starts it", async () => {
  const unit = await Deno.readTextFile(join(ROOT, "packaging/systemd/xdpsteer.service"));
  const [, started] = /^ExecStart=(\S+) /m.exec(unit)!;
  for (const [name, markdown] of await documents()) {
    for (const [path] of markdown.matchAll(/\/[a-z/]*bin\/(?:xdpsteer\b)?/g)) {
      assert.equal(path.replace(/\/$/, "/xdpsteer"), started, name);
    }
  }
});
