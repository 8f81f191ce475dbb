/**
 * Builds dist/xdpsteer, the one file that is copied to a box: `scripts/dev compile`.
 *
 * With a `denort` (DENORT_BIN) by `deno compile`; else a self-extracting file around the deno binary that runs this
 * script.
 */
// deno-lint-ignore-file no-console -- this is a program, and the lines are its answers
import project from "../deno.json" with { type: "json" };
import { bundle, collectLibraries, minify, run } from "./package_parts.ts";
import { notices } from "./notices.ts";
import { pack, type PackedFile } from "./pack.ts";

const OUT = "dist/xdpsteer";
const PARTS = "build/package";
/**
 * The loop of a worker becomes one piece of code, without calls, and an addition to a counter one instruction: after
 * each sleep code is cold. CPU time per packet at 500 kpps is an eighth less for it.
 */
const V8_FLAGS = "--v8-flags=--max-inlined-bytecode-size=1000,--max-inlined-bytecode-size-cumulative=4000," +
  "--no-additive-safe-int-feedback,--max-semi-space-size=2,--expose-gc";

const start = performance.now();
const step = (text: string): void =>
  console.error(`${((performance.now() - start) / 1000).toFixed(1).padStart(5)} s  ${text}`);

await Deno.remove(PARTS, { recursive: true }).catch(() => {});
await Deno.mkdir(`${PARTS}/lib`, { recursive: true });
await Deno.mkdir(`${PARTS}/runtime`);
await Deno.mkdir("dist", { recursive: true });

step("bundle main.ts and worker.ts");
await bundle("main.ts", PARTS, "--code-splitting");
await bundle("worker.ts", PARTS);
await minify(PARTS);
step("collect libraries and licences");
await collectLibraries("libbpf.so.1", `${PARTS}/lib`);
await Deno.writeTextFile(`${PARTS}/NOTICES.txt`, await notices());

const denort = Deno.env.get("DENORT_BIN");
if (denort !== undefined && denort !== "") {
  step(`deno compile with ${denort}`);
  const include = ["lib", "NOTICES.txt"].flatMap((name) => ["--include", `${PARTS}/${name}`]);
  await run(Deno.execPath(), [
    ...["compile", "--quiet", "--no-check", "--no-config", "--allow-all", V8_FLAGS, "--output", OUT],
    ...[...include, ...(await chunks()).flatMap((name) => ["--include", `${PARTS}/${name}`]), `${PARTS}/main.js`],
  ]);
} else {
  const zip = `https://dl.deno.land/release/v${Deno.version.deno}/denort-${Deno.build.target}.zip`;
  step(`no DENORT_BIN: a self-extracting file is built (for deno compile, set it to what is in ${zip})`);
  await collectLibraries(Deno.execPath(), `${PARTS}/runtime`);
  await run("gcc", [
    ...["-O2", "-static", "-s", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none", "-o", `${PARTS}/launcher`],
    `-DV8_FLAGS="${V8_FLAGS}"`,
    ...["launcher", "command", "confine", "writing", "calls", "files", "tree"].map((name) =>
      `packaging/launcher/${name}.c`
    ),
    "-l:libzstd.a",
  ]);
  const files: PackedFile[] = [
    { path: "xdpsteer", source: Deno.execPath(), mode: 0o500 },
    ...["main.js", "NOTICES.txt", ...await chunks(), ...await names("lib"), ...await names("runtime")]
      .map((path) => ({ path, source: `${PARTS}/${path}`, mode: 0o400 })),
  ];
  await pack(`${PARTS}/launcher`, files, OUT);
}
await Deno.chmod(OUT, 0o755);
const { size } = await Deno.stat(OUT);
step(`${OUT}: xdpsteer ${project.version}, ${(size / 2 ** 20).toFixed(1)} MiB`);

async function chunks(): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(PARTS))).map(({ name }) => name)
    .filter((name) => name.endsWith(".js") && name !== "main.js").sort();
}

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(`${PARTS}/${folder}`))).map(({ name }) => `${folder}/${name}`).sort();
}
