/**
 * Every relative link of every document leads somewhere: in the repository, and where the Debian package puts the
 * document. Paths that the documents for contributors name exist.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import project from "../../deno.json" with { type: "json" };
import { packagedDocuments } from "../../scripts/packaged_docs.ts";
import { anchors, namedPaths, relativeLinks } from "./markdown.ts";
import { exists, ROOT, succeed, temporaryFolder } from "./support.ts";

/** The links below a folder that lead nowhere, and how many there were. */
async function checkLinks(folder: string, files: readonly string[]): Promise<{ dead: string[]; count: number }> {
  const dead: string[] = [];
  let count = 0;
  for (const file of files) {
    for (const { target, line } of relativeLinks(await Deno.readTextFile(join(folder, file)))) {
      count++;
      const [path = "", anchor] = target.split("#");
      const place = path === "" ? join(folder, file) : join(folder, dirname(file), path);
      const good = await exists(place) &&
        (anchor === undefined || anchors(await Deno.readTextFile(place)).includes(anchor));
      if (!good) dead.push(`${file}:${line}: ${target}`);
    }
  }
  return { dead, count };
}

Deno.test("links of documents in the repository lead to files, and to headings in them", async () => {
  const files = (await succeed("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")).trim();
  const { dead, count } = await checkLinks(ROOT, files.split("\n"));
  assert.deepEqual(dead, []);
  assert.ok(count > 50, `only ${count} links found`);
});

/** The paths that a text names and that are not among the files; a bare name may be in any folder. */
function missingPaths(text: string, files: readonly string[]): string[] {
  const tops = [...new Set(files.flatMap((file) => file.includes("/") ? [file.split("/")[0]!] : []))]
    .filter((top) => /^\w+$/.test(top));
  return namedPaths(text, tops).filter(({ target }) => {
    const pattern = target.replace(/\/$/, "").replaceAll(".", "\\.").replaceAll("*", "[^/]*");
    const whole = new RegExp(`${target.includes("/") ? "^" : "(^|/)"}${pattern}(/|$)`);
    return !files.some((file) => whole.test(file));
  }).map(({ target, line }) => `${line}: ${target}`);
}

Deno.test("paths that CONTRIBUTING.md and docs/architecture.md name exist", async () => {
  const files = (await succeed("git", "ls-files", "--cached", "--others", "--exclude-standard")).trim().split("\n");
  for (const document of ["CONTRIBUTING.md", "docs/architecture.md"]) {
    const text = await Deno.readTextFile(join(ROOT, document));
    assert.ok(namedPaths(text, ["src", "bpf"]).length > 10, `${document} names no paths`);
    assert.deepEqual(missingPaths(text, files), [], document);
  }
  const wrong =
    "`src/control/`, src/errors.ts, `bpf/*.bpf.c`, `nothing.ts`, and src/cli/VERB.ts.\n`log.ts` tests/none.ts.";
  assert.deepEqual(missingPaths(wrong, files), ["1: src/control/", "1: nothing.ts", "2: tests/none.ts"]);
});

Deno.test("docs/deploy.md names every file that a task builds, and a release builds them all", async () => {
  const page = await Deno.readTextFile(join(ROOT, "docs/deploy.md"));
  const release = await Deno.readTextFile(join(ROOT, "scripts/release.ts"));
  const builders = Object.values(project.tasks).flatMap(({ description, command }) => {
    const [built] = /^Build (dist\/\w[\w.]*\w)/.exec(description)?.slice(1) ?? [];
    return built === undefined ? [] : [{ built, script: /scripts\/(\w+)\.ts/.exec(command)![1]! }];
  });
  assert.ok(builders.length >= 2);
  for (const { built, script } of builders) {
    assert.ok(page.includes(`\`${built}\``), `docs/deploy.md does not name ${built}`);
    assert.ok(release.includes(`${script}.ts"`), `scripts/release.ts does not use ${script}.ts`);
  }
});

Deno.test("the package has docs/ and the examples, and no link in them is dead", async () => {
  await using folder = await temporaryFolder();
  const documents = await packagedDocuments();
  for (const { path, data } of documents) {
    await Deno.mkdir(join(folder.path, dirname(path)), { recursive: true });
    await Deno.writeFile(join(folder.path, path), typeof data === "string" ? new TextEncoder().encode(data) : data);
  }
  for (const name of ["copyright", "changelog.gz"]) await Deno.writeTextFile(join(folder.path, name), "");
  const paths = documents.map(({ path }) => path);
  for (const needed of ["README.md", "docs/operations.md", "examples/steering.example.yaml", "docs/images/top.png"]) {
    assert.ok(paths.includes(needed), needed);
  }
  const { dead, count } = await checkLinks(folder.path, paths.filter((path) => path.endsWith(".md")));
  assert.deepEqual(dead, []);
  assert.ok(count > 50, `only ${count} links found`);
});

Deno.test("the form for a report asks for what doctor and status say", async () => {
  const { body } = parse(await Deno.readTextFile(join(ROOT, ".github/ISSUE_TEMPLATE/bug.yml")));
  const wanted = ["xdpsteer doctor --json", "xdpsteer status --json"];
  for (const label of wanted) {
    const field = body.find(({ attributes }: { attributes: { label: string } }) => attributes.label === label);
    assert.equal(field?.validations?.required, true, label);
  }
});

Deno.test("a dead link and a heading that is not there are found", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(
    join(folder.path, "a.md"),
    "# One `two`\n[good](a.md#one-two) [bad](b.md) [worse](#three)\n",
  );
  assert.deepEqual((await checkLinks(folder.path, ["a.md"])).dead, ["a.md:2: b.md", "a.md:2: #three"]);
});
