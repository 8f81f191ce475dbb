/** Lists of sources from files and from the web: followed, and what is wrong with them told. */
import assert from "node:assert/strict";
import type { ListStatus } from "../../src/observe/snapshot.ts";
import { TestNetwork } from "../support/netns.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { assertNoStack } from "./support/bad_start.ts";
import { finish, productCommand, TempDir } from "./support/command.ts";
import { configText } from "./support/config.ts";
import { Program } from "./support/programs.ts";
import { until } from "./support/wait.ts";

const RULES = ["{ name: game, ports: 53, action: count }"];
const WEB_PORT = 18_080;

/** Waits until a list stands as it should. */
function untilList(
  box: Appliance,
  name: string,
  what: string,
  isSo: (list: ListStatus) => boolean,
): Promise<ListStatus> {
  return until(`list ${name} ${what}`, async () => {
    const list = (await box.status()).lists.find((each) => each.name === name);
    return list !== undefined && isSo(list) ? list : undefined;
  }) as Promise<ListStatus>;
}

function untilEntries(box: Appliance, name: string, entries: number): Promise<ListStatus> {
  return untilList(box, name, `with ${entries} entries`, (list) => list.entries === entries);
}

const lines = (from: number, count: number): string =>
  Array.from({ length: count }, (_, index) => `10.99.${from + index >> 8}.${from + index & 255}`).join("\n");

const messages = (box: Appliance, text: string): string[] =>
  box.log.map(({ message }) => message).filter((message) => message.includes(text));

Deno.test("a list's file is followed: saved, replaced, reached by a link that is swapped, gone and back", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const at = (name: string): string => `${directory.path}/${name}`;
  await Deno.writeTextFile(at("plain"), `# three\n${lines(0, 3)}\n`);
  await Deno.writeTextFile(at("one"), lines(0, 1));
  await Deno.writeTextFile(at("two"), lines(0, 2));
  await Deno.symlink("one", at("link"));
  const sections = [
    "lists:",
    `  - { name: plain, file: ${at("plain")}, entries: [192.0.2.1] }`,
    `  - { name: link, file: ${at("link")} }`,
    `  - { name: late, file: ${at("late")} }`,
    `  - { name: strict, file: ${at("strict")}, on_bad_line: refuse }`,
    "guard: { deny: [plain, link, late, strict] }",
  ];
  await Deno.writeTextFile(at("strict"), lines(0, 5));
  await using box = await startAppliance(network, { rules: RULES, sections });
  await untilEntries(box, "plain", 4);
  await untilEntries(box, "link", 1);
  const late = await untilList(box, "late", "told to be missing", ({ error }) => error !== null);
  assert.deepEqual([late.entries, late.lastSuccess], [0, null]);
  const { generation } = await box.status();

  await Deno.writeTextFile(at("plain"), lines(0, 10)); // saved in place
  await untilEntries(box, "plain", 11);
  await Deno.writeTextFile(at("plain.new"), lines(0, 20));
  await Deno.rename(at("plain.new"), at("plain"));
  await untilEntries(box, "plain", 21);
  await Deno.symlink("two", at("link.new"));
  await Deno.rename(at("link.new"), at("link"));
  await untilEntries(box, "link", 2);
  await Deno.writeTextFile(at("late"), `${lines(0, 2)}\n10.0.0.1/8 # host bits\n`);
  const bad = await untilEntries(box, "late", 2);
  assert.deepEqual([bad.badLines, bad.error], [1, null]);

  await Deno.writeTextFile(at("strict"), `${lines(0, 6)}\nnonsense\n`);
  const refused = await untilList(box, "strict", "refused", ({ error }) => error !== null);
  assert.equal(refused.entries, 5, "what was read before stays");
  assert.match(refused.error!, /strict is not taken: 1 line of it .*: line 7 is not a prefix: expected a prefix like/);
  await Deno.remove(at("plain"));
  const gone = await untilList(box, "plain", "gone", ({ error }) => error !== null);
  assert.equal(gone.entries, 21, "what was read before stays");
  // Ten megabytes of garbage, and no line of it is a prefix.
  const garbage = new Uint8Array(10_000_000);
  for (let at = 0; at < garbage.length; at += 65_536) crypto.getRandomValues(garbage.subarray(at, at + 65_536));
  await Deno.writeFile(at("plain"), garbage);
  await untilList(box, "plain", "refused", ({ error }) => error?.includes("no line of it is a prefix") ?? false);
  const { problems } = await box.status() as unknown as { problems: { kind: string; subject: { name: string } }[] };
  const kinds = problems.map(({ kind, subject }) => `${kind} ${subject.name}`);
  for (const each of ["list_stale plain", "list_stale strict", "list_bad_lines late"]) {
    assert.ok(kinds.includes(each), `${each} in ${kinds}`);
  }
  await Deno.writeTextFile(at("plain"), "");
  await untilList(box, "plain", "empty", ({ entries, error }) => entries === 1 && error === null);
  assert.equal((await box.status()).generation, generation, "rules have not changed");
  assert.equal(messages(box, "List strict cannot be followed").length, 1);
});

/** Each fault of lists and guards, with what `check` ends with, and says at its place. */
function listFaults(
  at: (name: string) => string,
): readonly (readonly [sections: string, code: number, says: RegExp])[] {
  const list = (settings: string): string => `guard: { deny: [l] }\nlists: [{ name: l, ${settings} }]`;
  const file = (name: string, more = ""): string => list(`file: ${at(name)}${more}`);
  const warned = (text: string): RegExp => new RegExp(`^warning: .*steering\\.yaml:\\d+:\\d+: file .*${text}`, "m");
  return [
    [
      "guard: { allow: [10.0.0.0/8], deny: [10.0.0.0/8] }",
      3,
      /:\d+:\d+: "10\.0\.0\.0\/8" is denied here and allowed on line \d+: expected one of them/,
    ],
    ["guard: { deny: [l] }", 3, /:\d+:\d+: there is no list "l": expected a prefix, or a list under lists/],
    ["guard: { deny: [10.0.0.1/8] }", 3, /:\d+:\d+: entry "10\.0\.0\.1\/8" has bits set .*: expected a prefix like/],
    [list("entries: [l]"), 3, /:\d+:\d+: list "l" names itself: expected none of it/],
    [
      file("garbage"),
      0,
      warned("garbage is not taken: no line of it is a prefix: line 1 is not a prefix: expected a prefix like"),
    ],
    [file("garbage", ", on_bad_line: refuse"), 3, /:\d+:\d+: file .*garbage is not taken: no line of it is a prefix/],
    [file("missing"), 0, warned("missing does not exist: expected a regular file with a prefix a line")],
    [file("."), 0, warned("is a directory: expected a regular file")],
    [file("empty"), 0, warned("empty has no prefix in it: expected a prefix a line")],
    [file("large"), 0, warned("large is too large: expected at most 64 MiB")],
    [
      file("bad"),
      0,
      warned("bad has 1 entry, and 2 lines are left out of it: line 2 is not a prefix: expected a prefix like"),
    ],
    [
      file("bad", ", on_bad_line: refuse"),
      3,
      /:\d+:\d+: file .*bad is not taken: 2 lines of it cannot .*: line 2 is not a prefix/,
    ],
    [file("all"), 0, warned('1 line is left out of it: line 1: "0\\.0\\.0\\.0/0" is wider .*wide_prefixes: true')],
    [file("all", ", wide_prefixes: true"), 0, /^$/],
    ['guard: { deny: ["::/0"] }', 0, /^warning: .*:\d+:\d+: "::\/0" is wider than \/16, .* all rules keep it out/m],
  ];
}

Deno.test("check says of each fault of lists where it is and what was expected, of a file and of standard input", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const at = (name: string): string => `${directory.path}/${name}`;
  const garbage = new Uint8Array(10_000_000);
  for (let from = 0; from < garbage.length; from += 65_536) {
    crypto.getRandomValues(garbage.subarray(from, from + 65_536));
  }
  await Deno.writeFile(at("garbage"), garbage);
  await Deno.writeTextFile(at("empty"), "");
  await Deno.writeTextFile(at("large"), "");
  await Deno.truncate(at("large"), 64 * 1024 * 1024 + 1);
  await Deno.writeTextFile(at("bad"), "192.0.2.1\nx\ny\n");
  await Deno.writeTextFile(at("all"), "0.0.0.0/0\n192.0.2.1\n");
  const check = [...productCommand(), "check"];
  for (const [sections, code, says] of listFaults(at)) {
    await Deno.writeTextFile(at("steering.yaml"), configText({ rules: RULES, sections: [sections] }, at("socket")));
    const found = await finish(network, [...check, at("steering.yaml")]);
    assert.equal(found.code, code, `${sections}: ${found.stderr}`);
    assert.match(found.stderr, says, sections);
    assertNoStack(found.stderr);
    if (code === 0) assert.match(found.stdout, /is valid/);
    const piped = await finish(network, ["sh", "-c", `exec "$@" - < ${at("steering.yaml")}`, "sh", ...check]);
    const named = (text: string): string => text.replaceAll(at("steering.yaml"), "standard input");
    assert.deepEqual([piped.code, piped.stderr], [code, named(found.stderr)], sections);
  }
  const doctor = await finish(network, [...productCommand(), "doctor", "--no-probe", "--config", at("steering.yaml")]);
  assert.doesNotMatch(doctor.stdout, /list l:/);
  await Deno.writeTextFile(
    at("steering.yaml"),
    configText({ rules: RULES, sections: [`lists: [{ name: l, file: ${at("bad")} }]`] }, at("socket")),
  );
  const { stdout } = await finish(network, [
    ...productCommand(),
    "doctor",
    "--no-probe",
    "--config",
    at("steering.yaml"),
  ]);
  assert.match(stdout, /^warning +list l: .*bad has 1 entry, and 2 lines are left out of it: line 2 is not a prefix/m);
});

/** A page at WEB_PORT of the box itself. */
class ListServer implements AsyncDisposable {
  private constructor(private readonly directory: string, private readonly program: Program) {}

  static async start(network: TestNetwork, directory: string, word: string, text = ""): Promise<ListServer> {
    await network.exec("steer", ["ip", "link", "set", "lo", "up"]);
    await Deno.writeTextFile(`${directory}/REQUESTS`, "");
    const script = new URL("support/list_server.py", import.meta.url).pathname;
    const program = await Program.start(network.names.steer, ["python3", script, directory, `${WEB_PORT}`], "ready\n");
    const server = new ListServer(directory, program);
    await server.mode(word, text);
    return server;
  }

  /** What it answers from now on: see list_server.py. */
  mode(word: string, text = ""): Promise<void> {
    return Deno.writeTextFile(`${this.directory}/MODE`, `${word}\n${text}`);
  }

  /** A line for each request so far. */
  requests(): Promise<string> {
    return Deno.readTextFile(`${this.directory}/REQUESTS`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

Deno.test("check fetches pages with --probe only, once, and says what is wrong with them", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  await using server = await ListServer.start(network, directory.path, "text", "192.0.2.1\n0.0.0.0/0\n");
  const file = `${directory.path}/steering.yaml`;
  const sections = [`lists: [{ name: web, url: "http://127.0.0.1:${WEB_PORT}/list" }]`];
  await Deno.writeTextFile(file, configText({ rules: RULES, sections }, `${directory.path}/socket`));
  const check = [...productCommand(), "check", file];
  const requests = async (): Promise<number> => (await server.requests()).split("\n").length - 1;
  const plain = await finish(network, check);
  assert.equal(plain.code, 0, plain.stderr);
  assert.match(plain.stdout, /^pages of lists were not fetched, which --probe does: web$/m);
  assert.equal(await requests(), 0);
  const probed = await finish(network, [...check, "--probe"]);
  assert.equal(probed.code, 0, probed.stderr);
  assert.match(probed.stdout, /^web +http:\S+ +ok +1 .*line 2: "0\.0\.0\.0\/0" is wider than \/8/m);
  await server.mode("html");
  const before = await requests();
  const html = await finish(network, [...check, "--probe", "--json"]);
  assert.equal(html.code, 1);
  const [page] = JSON.parse(html.stdout).lists;
  assert.deepEqual([page.list, page.succeeded, page.reason], ["web", false, "it is an HTML page"]);
  assert.equal(await requests(), before + 1);
});

Deno.test("a list's page: what fails, is cut off, is HTML or empty changes nothing and is said once; a start has the copy", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const state = { XDPSTEER_STATE_DIR: `${directory.path}/state` };
  await Deno.mkdir(`${directory.path}/state`);
  const config = {
    rules: RULES,
    sections: [
      `lists: [{ name: web, url: "http://127.0.0.1:${WEB_PORT}/list", interval: 1 }]`,
      "guard: { deny: [web] }",
    ],
  };
  {
    await using server = await ListServer.start(network, directory.path, "text", lines(0, 3));
    await using box = await startAppliance(network, config, { env: state });
    await untilEntries(box, "web", 3);
    await until("a question with a tag", async () => /text \/list "/.test(await server.requests()));
    for (
      const [word, expected] of [
        ["error", /the server answers 503/],
        ["html", /it is an HTML page/],
        ["disguised", /it is an HTML page/],
        ["empty", /it is empty/],
        ["circle", /leads on more than 5 times/],
        ["truncated", /is not taken/],
        ["unfinished", /it ends within a line/],
      ] as const
    ) {
      await server.mode(word, lines(0, 9));
      const list = await untilList(box, "web", `with ${word}`, ({ error }) => expected.test(error ?? ""));
      assert.equal(list.entries, 3, word);
      const asked = (await server.requests()).split("\n").length;
      await until("another look", async () => (await server.requests()).split("\n").length > asked + 1);
      assert.equal((await untilList(box, "web", "still", () => true)).entries, 3, word);
    }
    await server.mode("text", "# nothing\n");
    const bare = await untilList(box, "web", "without a prefix", ({ error }) => /no prefix in it/.test(error ?? ""));
    assert.equal(bare.entries, 3);
    assert.equal(messages(box, "List web cannot be followed").length, 7, "each fault once: two are HTML");
    await server.mode("redirect", lines(0, 4));
    await untilList(box, "web", "with a redirect", ({ entries, error }) => entries === 4 && error === null);
  }
  await using again = await startAppliance(network, config, { env: state });
  const list = await untilEntries(again, "web", 4);
  assert.notEqual(list.lastSuccess, null);
});
