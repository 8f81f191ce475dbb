/**
 * Holds the imports of src/ against the layers of docs/architecture.md, and FFI and impurity against where they may be.
 * Prints every violation and exits 1 when there is one.
 */
// deno-lint-ignore-file no-console
import { dirname, join, normalize, relative } from "node:path";

/** What each part of src/ may import besides itself. A part is a folder, or a file at the top. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  "text.ts": [],
  "errors.ts": [],
  "journal.ts": [],
  "log.ts": ["journal.ts", "text.ts"],
  "version.ts": [],
  packet: [],
  steering: ["packet"],
  config: ["steering", "packet", "errors.ts", "text.ts"],
  ffi: ["errors.ts"],
  xsk: ["ffi", "errors.ts"],
  bpf: ["ffi", "steering", "errors.ts"],
  traffic: ["ffi", "packet", "errors.ts"],
  dataplane: ["xsk", "ffi", "steering", "packet", "errors.ts"],
  dashboard: [], // for the browser: imported as text
  control: [
    "dataplane",
    "bpf",
    "xsk",
    "ffi",
    "config",
    "steering",
    "packet",
    "dashboard",
    "errors.ts",
    "log.ts",
    "text.ts",
    "version.ts",
  ],
  cli: [
    "control",
    "bpf",
    "ffi",
    "traffic",
    "config",
    "steering",
    "errors.ts",
    "journal.ts",
    "log.ts",
    "text.ts",
    "version.ts",
  ],
};

/** Runs anywhere: no FFI, no Deno, no clock. These import one another only. */
const PURE = /^(packet|steering)\/|^dataplane\/(process|forward|batch|words)\.ts$/;
const IMPURE = /\bDeno\.|\bDate\b|\bperformance\b|\bsetTimeout\b/;
/** Only src/ffi/ reaches memory and libraries. */
const FFI = /\bDeno\.(dlopen|UnsafePointer|UnsafePointerView|UnsafeCallback|UnsafeFnPointer)\b/;
/** Only these print. */
const PRINTS = /\bDeno\.(stdout|stderr)\b/;
const MAY_PRINT = /^(log\.ts|cli\/)/;

const root = normalize(join(import.meta.dirname!, ".."));
const source = join(root, "src");
const problems: string[] = [];

for await (const path of sources(source)) {
  const file = relative(source, path);
  const part = file.split("/")[0]!;
  const code = withoutComments(await Deno.readTextFile(path));
  const allowed = LAYERS[part];
  if (allowed === undefined) {
    problems.push(`src/${file}: "${part}" is in no layer: add it to scripts/check_layers.ts and docs/architecture.md`);
    continue;
  }
  for (const [, fromStatic, fromDynamic] of code.matchAll(/\bfrom\s+"(\.[^"]+)"|\bimport\(\s*"(\.[^"]+)"/g)) {
    const specifier = fromStatic ?? fromDynamic!;
    const target = relative(source, join(dirname(path), specifier));
    const targetPart = target.split("/")[0]!;
    if (targetPart === "..") continue; // build/ and deno.json: data
    if (targetPart !== part && !allowed.includes(targetPart)) {
      problems.push(`src/${file}: ${part} may not import ${targetPart} ("${specifier}")`);
    }
    if (PURE.test(file) && !PURE.test(target)) problems.push(`src/${file}: is pure and may not import src/${target}`);
  }
  if (PURE.test(file) && IMPURE.test(code)) {
    problems.push(`src/${file}: is pure and may not name ${IMPURE.exec(code)![0]}`);
  }
  if (part !== "ffi" && FFI.test(code)) problems.push(`src/${file}: only src/ffi may name ${FFI.exec(code)![0]}`);
  if (!MAY_PRINT.test(file) && PRINTS.test(code)) problems.push(`src/${file}: only src/log.ts and src/cli may print`);
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) Deno.exit(1);

async function* sources(directory: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    const path = join(directory, name);
    if (isDirectory) yield* sources(path);
    else if (name.endsWith(".ts") && !name.endsWith("_test.ts") && !name.endsWith("_bench.ts")) yield path;
  }
}

/** Comments may speak of what the code must not do. */
function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
}
