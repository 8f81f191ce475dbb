/**
 * The licences of all that is in the one file: our own, of the npm packages that are bundled, of Deno, and of the
 * native libraries.
 */
import project from "../deno.json" with { type: "json" };
import { dirname } from "node:path";
import { run, sha256 } from "./package_parts.ts";

export interface Component {
  readonly name: string;
  readonly version: string;
  /** SPDX expression, or what comes nearest to it. */
  readonly licence: string;
  readonly text: string;
  /**
   * What is known by content: of an npm package the archive, of a native one the file that goes in; undefined for
   * ourselves.
   */
  readonly hash?: { readonly alg: "SHA-256" | "SHA-512"; readonly content: string };
}

/** Debian packages whose code is in the file: the file that it comes from, and the licence. */
const NATIVE: Readonly<Record<string, readonly [file: string, licence: string]>> = {
  libbpf1: ["libbpf.so.1", "LGPL-2.1-only OR BSD-2-Clause"],
  libelf1: ["libelf.so.1", "GPL-2.0-or-later OR LGPL-3.0-or-later"],
  zlib1g: ["libz.so.1", "Zlib"],
  "libgcc-s1": ["libgcc_s.so.1", "GPL-3.0-or-later WITH GCC-exception-3.1"],
  "libzstd-dev": ["libzstd.a", "BSD-3-Clause OR GPL-2.0-only"],
  "libxxhash-dev": ["xxhash.h", "BSD-2-Clause"],
  "libc6-dev": ["libc.a", "LGPL-2.1-or-later"],
};

/** Only tests import these. */
const NOT_BUNDLED = new Set(["ajv", "axe-core", "esbuild", "fast-check", "puppeteer-core"]);

/** Everything in the file, ourselves first. */
export async function components(): Promise<Component[]> {
  const all: Component[] = [{
    name: "xdpsteer",
    version: project.version,
    licence: "Apache-2.0 AND GPL-2.0-only",
    text: `The XDP programs (bpf/) are under GPL-2.0-only, all else is under:\n\n${await Deno.readTextFile("LICENSE")}`,
  }, {
    name: "deno",
    version: Deno.version.deno,
    licence: "MIT",
    text: await Deno.readTextFile(`${dirname(Deno.execPath())}/LICENSE`) +
      "\nDeno contains V8 (BSD-3-Clause) and Rust crates; see https://github.com/denoland/deno and https://v8.dev.\n",
    hash: { alg: "SHA-256", content: await sha256(Deno.execPath()) },
  }];
  const { npmCache } = JSON.parse(await run(Deno.execPath(), ["info", "--json"]));
  for (const id of bundledPackages()) all.push(await npmComponent(id, npmCache));
  for (const [name, [file, licence]] of Object.entries(NATIVE)) {
    const version = (await run("dpkg-query", ["-W", "-f=${Version}", name])).trim();
    const path = (await run("dpkg-query", ["-L", name])).split("\n").find((line) => line.endsWith(`/${file}`));
    if (path === undefined) throw new Error(`Debian's package ${name} has no ${file}`);
    const text = await Deno.readTextFile(`/usr/share/doc/${name}/copyright`);
    all.push({ name, version, licence, text, hash: { alg: "SHA-256", content: await sha256(path) } });
  }
  return all;
}

export async function notices(): Promise<string> {
  const parts = (await components()).map(({ name, version, licence, text }) =>
    `${"=".repeat(78)}\n${name} ${version}: ${licence}\n${"=".repeat(78)}\n\n${text.trimEnd()}\n`
  );
  return parts.join("\n");
}

interface LockedPackage {
  /** "sha512-" and the archive's hash in base64. */
  readonly integrity: string;
  readonly dependencies?: readonly string[];
}
type Locked = Readonly<Record<string, LockedPackage>>;

function lockedPackages(): Locked {
  return JSON.parse(Deno.readTextFileSync("deno.lock")).npm;
}

/** "name@version" of our npm dependencies and theirs, in the order of the alphabet. */
function bundledPackages(): string[] {
  const npm = lockedPackages();
  const wanted = Object.entries(project.imports).filter(([name]) => !NOT_BUNDLED.has(name))
    .map(([, specifier]) => specifier.replace(/^npm:/, ""));
  const found = new Set<string>();
  while (wanted.length > 0) {
    const id = wanted.pop()!;
    if (found.has(id)) continue;
    found.add(id);
    for (const name of npm[id]?.dependencies ?? []) {
      wanted.push(npm[name] !== undefined ? name : Object.keys(npm).find((key) => key.startsWith(`${name}@`))!);
    }
  }
  return [...found].sort();
}

async function npmComponent(id: string, npmCache: string): Promise<Component> {
  const at = id.lastIndexOf("@");
  const [name, version] = [id.slice(0, at), id.slice(at + 1).split("_")[0]!];
  const folder = `${npmCache}/registry.npmjs.org/${name}/${version}`;
  const { license } = JSON.parse(await Deno.readTextFile(`${folder}/package.json`));
  const file = [...Deno.readDirSync(folder)].find((entry) => /^licen[cs]e/i.test(entry.name))?.name;
  const text = file === undefined ? `Licence: ${license}` : await Deno.readTextFile(`${folder}/${file}`);
  const sha512 = Uint8Array.fromBase64(lockedPackages()[id]!.integrity.replace(/^sha512-/, "")).toHex();
  return { name, version, licence: license, text, hash: { alg: "SHA-512", content: sha512 } };
}
