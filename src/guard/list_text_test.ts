/** What is taken of a list's text, and what is said of the rest. */
import assert from "node:assert/strict";
import { withFolder } from "../../tests/support/folder.ts";
import { lookAtListFiles } from "./list_check.ts";
import { MAX_LIST_BYTES, readListFile, readListText } from "./list_text.ts";

const SKIP = { onBadLine: "skip", widePrefixes: false } as const;
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Each text with how many prefixes are taken, how many lines are not, and what is said of the first. */
const TEXTS: readonly (readonly [text: string, entries: number, badLines: number, first: RegExp])[] = [
  ["192.0.2.1\n2001:db8::/32\n", 2, 0, /^$/],
  ["192.0.2.1\n192.0.2.1\n192.0.2.0/24", 3, 0, /^$/],
  ["192.0.2.1\nnonsense\n10.0.0.1/8\n", 1, 2, /^line 2 is not a prefix: expected a prefix like/],
  ["192.0.2.1\n10.0.0.1/8 # host bits\n", 1, 1, /^line 2: "10\.0\.0\.1\/8" has bits .*: expected a prefix like/],
  ["192.0.2.1\n192.0.2.300\n", 1, 1, /^line 2: "192\.0\.2\.300" .*: expected a prefix like/],
  ["192.0.2.1\n2001:db8::1::2/64\n", 1, 1, /^line 2: "2001:db8::1::2\/64" .*: expected a prefix like/],
  // Of a file of something else nothing is shown: who sees the message may not be allowed to see the file.
  ...["root:$6$abc:19000:0", "0123456789abcdef", "192.0.2.1 hunter2", "1.2.3.4/hunter2", "de:ad:be:ef".repeat(9)]
    .map((line) => [`192.0.2.1\n${line}`, 1, 1, /^line 2 is not a prefix: expected [^$]*$/] as const),
  [
    "192.0.2.1\n0.0.0.0/0\n",
    1,
    1,
    /^line 2: "0\.0\.0\.0\/0" is wider than \/8, a large part of the internet: expected wide_prefixes: true/,
  ],
  [
    "::/0\t; all\n128.0.0.0/1\n8.0.0.0/7\n2001::/15\n2000::/3\n8000::/1\n192.0.2.1\n",
    2,
    5,
    /^line 1: "::\/0" is wider/,
  ],
  ["8.0.0.0/8\n2001::/16\n224.0.0.0/3\nfc00::/7\nff00::/8\nfe80::/10\n", 6, 0, /^$/],
];

for (const [text, entries, badLines, first] of TEXTS) {
  Deno.test(`readListText() takes ${entries} of ${JSON.stringify(text)}`, async () => {
    const found = await readListText(bytesOf(text), SKIP);
    assert.deepEqual([found.set.size, found.badLines], [entries, badLines]);
    assert.match(found.firstBad, first);
    if (badLines === 0) return;
    const refused = readListText(bytesOf(text), { ...SKIP, onBadLine: "refuse" });
    await assert.rejects(refused, new RegExp(`^SteerError: ${badLines} lines? of it cannot be taken: line `));
  });
}

Deno.test("readListText() takes wide prefixes where the list says that it has such", async () => {
  const found = await readListText(bytesOf("0.0.0.0/0\n::/0\n"), { onBadLine: "refuse", widePrefixes: true });
  assert.deepEqual([found.set.size, found.badLines], [2, 0]);
  await assert.rejects(
    readListText(bytesOf("0.0.0.0/0\n"), SKIP),
    /no line of it is a prefix: line 1: "0\.0\.0\.0\/0"/,
  );
});

Deno.test("readListFile() and lookAtListFiles() say what is wrong with a file, and what was expected", async () => {
  await withFolder(async (folder) => {
    const at = (name: string): string => `${folder}/${name}`;
    const list = (file: string, more = {}) => ({
      ...{ name: "a", entries: [], file: at(file), url: null, interval: 60, ...SKIP },
      ...more,
    });
    await Deno.mkdir(at("directory"));
    await Deno.writeTextFile(at("good"), "192.0.2.1\n");
    await Deno.writeTextFile(at("empty"), "");
    await Deno.writeTextFile(at("bare"), "# nothing\n");
    await Deno.writeTextFile(at("bad"), "192.0.2.1\nx\ny\n");
    const garbage = new Uint8Array(10_000_000);
    for (let from = 0; from < garbage.length; from += 65_536) {
      crypto.getRandomValues(garbage.subarray(from, from + 65_536));
    }
    await Deno.writeFile(at("garbage"), garbage);
    await Deno.truncate(at("garbage"), 10_000_000);
    await Deno.writeTextFile(at("large"), "");
    await Deno.truncate(at("large"), MAX_LIST_BYTES + 1);
    const cases: readonly (readonly [ReturnType<typeof list>, status: string, text: RegExp])[] = [
      [list("good"), "ok", /good has 1 entry$/],
      [list("missing"), "odd", /missing does not exist: expected a regular file with a prefix a line; a start would/],
      [list("directory"), "odd", /directory is a directory: expected a regular file/],
      [list("large"), "odd", /large is too large: expected at most 64 MiB/],
      [list("empty"), "odd", /empty has no prefix in it: expected a prefix a line$/],
      [list("bare"), "odd", /bare has no prefix in it/],
      [list("bad"), "odd", /bad has 1 entry, and 2 lines are left out of it: line 2 is not a prefix: expected a/],
      [
        list("bad", { onBadLine: "refuse" }),
        "refused",
        /bad is not taken: 2 lines of it cannot be taken: line 2 is not/,
      ],
      [
        list("garbage"),
        "odd",
        /garbage is not taken: no line of it is a prefix: line \d+ is not a prefix: expected a prefix like/,
      ],
    ];
    for (const [one, status, text] of cases) {
      const [found] = await lookAtListFiles([one]);
      assert.equal(found!.status, status, one.file);
      assert.match(found!.text, text);
      assert.ok(found!.text.startsWith(one.file) && found!.text.length < 600, found!.text);
      if (status !== "odd" || !/is not taken|does not exist|directory|large/.test(found!.text)) continue;
      // The process that follows it says the same.
      await assert.rejects(readListFile(one.file, one), ({ message }: Error) => found!.text.startsWith(message));
    }
  });
});
