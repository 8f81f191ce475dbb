/**
 * The licences of all that is in the one file: our own, of the npm packages that are bundled, of Deno, and of the native libraries.
 */
import project from "../deno.json" with { type: "json" };
import { dirname } from "node:path";
import { run } from "./package_parts.ts";

export interface Component {
  readonly name: string;
  readonly version: string;
  /** SPDX expression, or what comes nearest to it. */
  readonly licence: string;
  readonly text: string;
}

/** Debian packages whose code is in the file, with their licences. */
const NATIVE: Readonly<Record<string, string>> = {
  libbpf1: "LGPL-2.1-only OR BSD-2-Clause",
  libelf1: "GPL-2.0-or-later OR LGPL-3.0-or-later",
  zlib1g: "Zlib",
  "libgcc-s1": "GPL-3.0-or-later WITH GCC-exception-3.1",
  "libzstd-dev": "BSD-3-Clause OR GPL-2.0-only",
  "libxxhash-dev": "BSD-2-Clause",
  "libc6-dev": "LGPL-2.1-or-later",
};

/** Only tests import these. */
const NOT_BUNDLED = new Set(["ajv", "axe-core", "fast-check", "puppeteer-core"]);

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
  }];
  const { npmCache } = JSON.parse(await run(Deno.execPath(), ["info", "--json"]));
  for (const id of bundledPackages()) all.push(await npmComponent(id, npmCache));
  for (const [name, licence] of Object.entries(NATIVE)) {
    const version = (await run("dpkg-query", ["-W", "-f=${Version}", name])).trim();
    all.push({ name, version, licence, text: await Deno.readTextFile(`/usr/share/doc/${name}/copyright`) });
  }
  return all;
}

export async function notices(): Promise<string> {
  const parts = (await components()).map(({ name, version, licence, text }) =>
    `${"=".repeat(78)}\n${name} ${version}: ${licence}\n${"=".repeat(78)}\n\n${text.trimEnd()}\n`
  );
  return parts.join("\n");
}

type Locked = Readonly<Record<string, { readonly dependencies?: readonly string[] }>>;

/** "name@version" of our npm dependencies and theirs, in the order of the alphabet. */
function bundledPackages(): string[] {
  const npm = JSON.parse(Deno.readTextFileSync("deno.lock")).npm as Locked;
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
  return { name, version, licence: license, text };
}
