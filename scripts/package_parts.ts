/**
 * What goes into the one file: the program's code, and the libraries it needs that a bare glibc system does not have.
 */
import { basename, resolve } from "node:path";
import { stop, transform } from "esbuild";

/** What every glibc system has: its own libraries, and the loader. */
const OF_GLIBC = /^(linux-vdso|ld-linux[^/]*|libc|libm|libdl|librt|libpthread)\.so/;

/** What a bundle says where a CommonJS package requires a part of Node, for there is no `require` in a module. */
const NO_REQUIRE = "Dynamic require of ";
/** One that loads nothing before it is called. */
const REQUIRE = "const require = (name) => process.getBuiltinModule(name);";

/** Runs a program that has to succeed, in no language but its own. @returns what it printed. */
export async function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args], env: { LC_ALL: "C", ...env } })
    .output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${program} ${args.join(" ")}:\n${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

/**
 * Bundles an entry and what it imports into a folder. With a cache within the project: the names of pieces are hashes
 * that include where their sources are, seen from here.
 *
 * For the browser as far as packages have a choice: what they import of Node is loaded at every start, and costs more
 * than they do.
 */
export async function bundle(entry: string, folder: string, ...options: string[]): Promise<void> {
  const args = ["bundle", "--quiet", "--platform=browser", ...options, "--outdir", folder, entry];
  await run(Deno.execPath(), args, { DENO_DIR: resolve("build/deno") });
}

/**
 * Makes all bundles in a folder smaller. Not with `deno bundle --minify`: the esbuild in Deno 2.9.6 is 0.25.5, which
 * puts the value of `using` in the place of its one use, and then nothing is disposed of.
 */
export async function minify(folder: string): Promise<void> {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith(".js"));
  try {
    for (const name of names) {
      const code = await Deno.readTextFile(`${folder}/${name}`);
      const whole = code.includes(NO_REQUIRE) ? `${REQUIRE}\n${code}` : code;
      await Deno.writeTextFile(`${folder}/${name}`, await minified(whole));
    }
  } finally {
    await stop();
  }
}

/** A module, smaller. {@linkcode minify} says when to stop what it starts. */
export async function minified(code: string): Promise<string> {
  return (await transform(code, { minify: true, format: "esm", target: "esnext", charset: "utf8" })).code;
}

/**
 * The time that a build gives everything it makes, in seconds since 1970: SOURCE_DATE_EPOCH, else that of the commit.
 */
export async function sourceDate(): Promise<number> {
  const given = Deno.env.get("SOURCE_DATE_EPOCH");
  return Number(given ?? await run("git", ["-C", import.meta.dirname!, "log", "-1", "--format=%ct"]));
}

/** The SHA-256 of a file in hexadecimal. */
export async function sha256(path: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(path))).toHex();
}

/** Copies what a library or program needs into a folder, itself too if it is given by its bare name. */
export async function collectLibraries(wanted: string, folder: string): Promise<void> {
  const found = wanted.includes("/") ? wanted : await findLibrary(wanted);
  const needed = [...(await run("ldd", [found])).matchAll(/^\s*(\S+) => (\/\S+)/gm)]
    .map(([, name, path]) => ({ name: name!, path: path! }))
    .filter(({ name }) => !OF_GLIBC.test(name));
  if (found !== wanted) needed.push({ name: wanted, path: found });
  for (const { name, path } of needed) await Deno.copyFile(await Deno.realPath(path), `${folder}/${basename(name)}`);
}

async function findLibrary(name: string): Promise<string> {
  const line = (await run("/sbin/ldconfig", ["-p"])).split("\n").find((text) => text.trim().startsWith(`${name} `));
  if (line === undefined) throw new Error(`There is no ${name} on this machine`);
  return line.split(" => ")[1]!;
}
