import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { finish, type Finished, productCommand, TempDir } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { Terminal } from "./support/pty.ts";
import { until } from "./support/wait.ts";

// Long enough that top shortens it, and its trend is drawn.
const CONFIG: TestConfig = { rules: [`{ name: ${"telemetry-".repeat(6)}, ports: 8080, worker: 0 }`] };
/** A mistake in a line that is shortened on both sides, and has letters of its own. */
const MISTAKE = `steering: [{ name: game, ports: 7777, worker: 0 }, { name: ${"ö".repeat(40)}, ports: 1 }, ` +
  `{ name: ${"x".repeat(60)}, ports: 2 }]`;
const ASCII = /^[\n\x20-\x7e]*$/;
const LOCALES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "LC_ALL=C": { LC_ALL: "C", LC_CTYPE: "C.UTF-8", LANG: "C.UTF-8" },
  "LC_CTYPE=C": { LC_ALL: "", LC_CTYPE: "C", LANG: "C.UTF-8" },
  "LANG=C": { LC_ALL: "", LC_CTYPE: "", LANG: "C" },
};

for (const [name, env] of Object.entries(LOCALES)) {
  Deno.test(`${name}: tables, errors and the log are ASCII, and JSON is what it was`, async () => {
    await using network = await TestNetwork.create();
    await using directory = await TempDir.create();
    const run = (variables: Readonly<Record<string, string>>, ...words: string[]): Promise<Finished> =>
      finish(network, [...productCommand(), ...words], { env: variables });
    const text = (socket: string): string => configText(CONFIG, socket).replace("format: json", "format: text");
    await using box = await startAppliance(network, text, { env });
    await box.writeConfig(`${text(box.socket).replace(/^steering:[\s\S]*?(?=^\w)/m, `${MISTAKE}\n`)}`);
    await until("a refusal in the log", () => box.stderr.includes("is refused"));
    const at = ["--socket", box.socket];
    for (const words of [["status", ...at], ["top", "--once", ...at], ["ports", "list", ...at]]) {
      const { code, stdout, stderr } = await run(env, ...words);
      assert.equal(code, 0, stderr);
      assert.match(stdout, ASCII);
    }
    assert.match(box.stderr, ASCII);

    const file = `${directory.path}/steering.yaml`;
    await Deno.writeTextFile(file, `version: 1\ninterfaces: [{ name: eth0 }]\n${MISTAKE}\n`);
    const plain = await run(env, "check", "--config", file);
    const whole = await run({ LC_ALL: "C.UTF-8" }, "check", "--config", file);
    assert.equal(plain.code, 3);
    assert.match(plain.stderr, ASCII);
    assert.ok(whole.stderr.includes("ö") && whole.stderr.includes("…"), whole.stderr);
    assert.equal([...plain.stderr].length, [...whole.stderr].length, "the caret stays under its place");

    const json = JSON.parse((await run(env, "status", "--json", ...at)).stdout);
    assert.ok(json.lastReload.message.includes("ö"), json.lastReload.message);
  });
}

Deno.test("top draws bars, trends and marks in ASCII where the terminal's locale is C", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const argv = [...productCommand(), "top", "--interval", "0.2", "--socket", box.socket];
  await using terminal = new Terminal(network, argv, { columns: 90, env: { LC_ALL: "C" } });
  const shown = ({ lines }: { lines: readonly string[] }): boolean => lines.some((line) => /^0 +running/.test(line));
  const { lines } = await terminal.untilScreen("tables", shown);
  for (const line of lines) assert.match(line, ASCII);
  assert.ok(lines.some((line) => line.includes("PPS v")), lines.join("\n"));
  assert.ok(lines.some((line) => /^0 +running .* [#-]{10} /.test(line)), lines.join("\n"));
  assert.ok(lines.some((line) => /^telemetry~ /.test(line)), lines.join("\n"));
  await terminal.type("q");
  await terminal.ended();
});
