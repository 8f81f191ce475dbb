/**
 * Makes a release of the version in deno.json, in dist/: `scripts/dev release`.
 *
 * Tests everything in the full sizes, builds the one file and the Debian package twice to see that they come out the
 * same, and writes a CycloneDX SBOM and the checksums. Refuses a tree with uncommitted changes, and a version that
 * CHANGELOG.md does not tell of.
 */
// deno-lint-ignore-file no-console -- this is a program, and the lines are its answers
import { basename } from "node:path";
import { parseArgs } from "node:util";
import project from "../deno.json" with { type: "json" };
import { buildDeb } from "./build_deb.ts";
import { run, sha256 } from "./package_parts.ts";
import { sbom } from "./sbom.ts";

/** What builds each package from the one file, into a folder. */
const PACKAGES = [buildDeb];

const { values: options } = parseArgs({ options: { "skip-tests": { type: "boolean", default: false } } });
const { version } = project;

if (await run("git", ["status", "--porcelain"]) !== "") fail("the tree has changes that are not committed");
if (!new RegExp(`^## ${version.replaceAll(".", "\\.")}\\b`, "m").test(await Deno.readTextFile("CHANGELOG.md"))) {
  fail(`CHANGELOG.md has no "## ${version}"`);
}
if (options["skip-tests"]) console.error("Not tested: --skip-tests");
else await script("scripts/test.ts", "--full");

const first = await buildAll();
await Deno.remove("build/packed", { recursive: true });
for (const [name, sum] of await buildAll()) {
  if (first.get(name) !== sum) fail(`${name} is not the same when it is built again`);
}

await Deno.writeTextFile("dist/sbom.cdx.json", await sbom("dist/xdpsteer"));
const sums = [...first, ["sbom.cdx.json", await sha256("dist/sbom.cdx.json")]];
const lines = sums.map(([name, sum]) => `${sum}  ${name}\n`);
await Deno.writeTextFile("dist/SHA256SUMS", lines.join(""));
console.log(`xdpsteer ${version} is in dist/:\n${lines.join("")}`);

/** The file and the packages, with their checksums, by name. */
async function buildAll(): Promise<ReadonlyMap<string, string>> {
  await script("scripts/compile.ts");
  const paths = ["dist/xdpsteer"];
  for (const build of PACKAGES) paths.push(await build({ binary: "dist/xdpsteer", directory: "dist" }));
  return new Map(await Promise.all(paths.map(async (path) => [basename(path), await sha256(path)] as const)));
}

async function script(file: string, ...options: string[]): Promise<void> {
  const args = ["run", "--quiet", "-A", file, ...options];
  const { success } = await new Deno.Command(Deno.execPath(), { args }).spawn().status;
  if (!success) fail(`${file} failed`);
}

function fail(why: string): never {
  console.error(`No release: ${why}`);
  Deno.exit(1);
}
