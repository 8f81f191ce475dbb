import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { type Appliance, type LogLine, startAppliance } from "./support/appliance.ts";
import { finish, productCommand, TempDir } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { until } from "./support/wait.ts";

/** A file system takes this for the name of a file: the configuration's, which a refusal tells. */
const NASTY = "x\x1b[7m\u009b\u202e.yaml";
const CONFIG: TestConfig = { rules: ["{ name: game, ports: 8080, worker: 0 }"], workers: 1 };
const FORGED = "12:00:00.000 [ERROR] xdpsteer.run: forged";
// deno-lint-ignore no-control-regex -- what would steer a terminal
const STEERS_TERMINAL = /[\x00-\x1f\x7f-\x9f\u202e]/;
const TEXT_LINE = /^\d\d:\d\d:\d\d\.\d{3} \[(INFO|WARNING|ERROR)\] xdpsteer\.\w+: ./;

/**
 * Gives the product a terminal, or a socket that stands for the journal's, as standard error, and passes on what it
 * writes.
 */
const STDERR = `
import os, pty, signal, socket, subprocess, sys
kind, *argv = sys.argv[1:]
if kind == "terminal":
    ours, theirs = pty.openpty()
else:
    ours, theirs = (end.detach() for end in socket.socketpair())
    status = os.fstat(theirs if kind == "journal" else 0)
    os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
child = subprocess.Popen(argv, stderr=theirs)
os.close(theirs)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
while True:
    try:
        data = os.read(ours, 65536)
    except OSError: # a terminal ends like this
        break
    if not data: break
    os.write(2, data)
sys.exit(child.wait())
`;

interface Start {
  /** Where standard error goes: `other` is a socket that JOURNAL_STREAM does not name. */
  readonly stderr: "pipe" | "terminal" | "journal" | "other";
  readonly format: "auto" | "text" | "json";
  readonly noColor?: string;
}

/**
 * Starts an appliance, lets it refuse a configuration that tries to forge a line, and stops it. @returns all it wrote.
 */
async function wordsOf({ stderr, format, noColor }: Start): Promise<string> {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const text = (socket: string): string => configText(CONFIG, socket).replace("format: json", `format: ${format}`);
  const wrapper = stderr === "pipe" ? [] : ["/usr/bin/python3", "-c", STDERR, stderr];
  const as = ["env", "-u", "NO_COLOR", "-u", "JOURNAL_STREAM", ...wrapper];
  if (noColor !== undefined) as.splice(5, 0, `NO_COLOR=${noColor}`);
  await Deno.writeTextFile(`${directory.path}/${NASTY}`, text(`${directory.path}/control.sock`));
  await using box = await startAppliance(network, text, { as, directory: directory.path, configFile: NASTY });
  await refuse(box, text(box.socket));
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
  return box.stderr;
}

async function refuse(box: Appliance, config: string): Promise<void> {
  // The complaint about the unknown key shows this line as it is.
  await box.writeConfig(`${config}${FORGED}\n`);
  await until("a refusal in the log", () => box.stderr.includes("is refused"));
  await until("its reason in the log", () => box.stderr.includes("forged"));
}

/** What was written, by lines; it must end with a whole one. */
function linesOf(words: string, end = "\n"): string[] {
  const lines = words.split(end);
  assert.equal(lines.pop(), "", words);
  return lines;
}

/** Every line is one of JSON and has what a record has. @returns them. */
function assertJson(lines: readonly string[]): LogLine[] {
  return lines.map((line) => {
    assert.doesNotMatch(line, STEERS_TERMINAL);
    const record = JSON.parse(line);
    assert.deepEqual(Object.keys(record), ["time", "level", "logger", "message", "properties"]);
    assert.equal(new Date(record.time).toISOString(), record.time);
    assert.match(record.logger, /^xdpsteer\.\w+$/);
    return record;
  });
}

Deno.test("auto: lines of JSON where standard error is no terminal", async () => {
  const records = assertJson(linesOf(await wordsOf({ stderr: "pipe", format: "auto" })));
  const refusal = records.find(({ level }) => level === "error")!;
  assert.match(refusal.message, /^The new configuration is refused/);
  assert.ok(refusal.message.includes(`\n${FORGED}\n`), "the value is whole, as a value");
  assert.ok(`${refusal.properties.reason}`.includes(`/${NASTY}:`));
  assert.equal(records.at(-1)!.message, "Stopped");
});

Deno.test("text: one line a record, which no value can forge", async () => {
  const lines = linesOf(await wordsOf({ stderr: "pipe", format: "text" }));
  for (const line of lines) {
    assert.match(line, TEXT_LINE);
    assert.doesNotMatch(line, STEERS_TERMINAL);
    assert.ok(!line.startsWith(FORGED), line);
  }
  assert.equal(lines.filter((line) => line.includes("forged")).length, 1, lines.join("\n"));
  assert.ok(lines.some((line) => line.includes("/x\\x1b[7m\\x9b\\u202e.yaml:")), lines.join("\n"));
});

Deno.test("auto: text in colour on a terminal, where only a bar continues a record", async () => {
  for (const noColor of [undefined, ""]) {
    const words = await wordsOf({ stderr: "terminal", format: "auto", ...(noColor === undefined ? {} : { noColor }) });
    assert.ok(words.includes("\x1b[31mERROR\x1b[0m"), words);
    // The colours of the record itself, and nothing that came in a value.
    // deno-lint-ignore no-control-regex
    const bare = linesOf(words, "\r\n").map((line) => line.replace(/\x1b\[[0-9;]*m/g, ""));
    for (const line of bare) {
      assert.match(line, /^(\d\d:\d\d:\d\d\.\d{3} (INFO|WARNING|ERROR) xdpsteer\.\w+: .| {2}\| )/);
      assert.doesNotMatch(line, STEERS_TERMINAL);
    }
    assert.ok(bare.some((line) => /^ {2}\| .*\^/.test(line)), "the caret stands under its place");
  }
});

Deno.test("NO_COLOR that says something takes the colour away, and json is JSON on a terminal too", async () => {
  for (const line of linesOf(await wordsOf({ stderr: "terminal", format: "auto", noColor: "1" }), "\r\n")) {
    assert.match(line, /^(\d\d:\d\d:\d\d\.\d{3} \[(INFO|WARNING|ERROR)\] xdpsteer\.\w+: .| {2}\| )/);
    assert.doesNotMatch(line, STEERS_TERMINAL);
  }
  assertJson(linesOf(await wordsOf({ stderr: "terminal", format: "json" }), "\r\n"));
});

const PRIORITIES: Readonly<Record<string, string>> = { "<6>": "info", "<4>": "warning", "<3>": "error" };

Deno.test("the journal is told each line's priority", async () => {
  const lines = linesOf(await wordsOf({ stderr: "journal", format: "auto" }));
  const records = assertJson(lines.map((line) => line.slice(3)));
  assert.deepEqual(records.map(({ level }) => level), lines.map((line) => PRIORITIES[line.slice(0, 3)]));
  assert.ok(lines.some((line) => line.startsWith("<3>")), lines.join("\n"));
  for (const line of linesOf(await wordsOf({ stderr: "journal", format: "text" }))) {
    const [, level = ""] = TEXT_LINE.exec(line.slice(3)) ?? [];
    assert.equal(PRIORITIES[line.slice(0, 3)], level.toLowerCase(), line);
    assert.doesNotMatch(line, STEERS_TERMINAL);
  }
});

Deno.test("a service whose standard error goes elsewhere than to the journal writes no priorities", async () => {
  assertJson(linesOf(await wordsOf({ stderr: "other", format: "auto" })));
});

Deno.test("a start that fails tells the journal at the priority of an error", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  // A file stands for the journal's stream: it is told by device and inode.
  const script = 'f=$1; shift; : >"$f"; JOURNAL_STREAM=$(stat -c %d:%i "$f") "$@" 2>>"$f"';
  const journal = `${directory.path}/journal`;
  const { code } = await finish(network, [
    ...["sh", "-c", script, "sh", journal, ...productCommand()],
    ...["run", "--config", `${directory.path}/none.yaml`],
  ]);
  assert.equal(code, 3);
  const lines = linesOf(await Deno.readTextFile(journal));
  assert.ok(lines.length > 0);
  for (const line of lines) assert.match(line, /^<3>/);
});
