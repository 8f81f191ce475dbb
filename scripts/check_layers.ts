/**
 * Holds the imports of src/ against the layers, FFI and impurity against where they may be, and the picture in
 * docs/architecture.md against both. Prints every violation and exits 1 when there is one.
 *
 *     scripts/dev lint                                                        checks
 *     deno run --allow-read=. --allow-write=docs scripts/check_layers.ts --write   draws the picture again
 */
// deno-lint-ignore-file no-console
import { dirname, join, normalize, relative } from "node:path";

/**
 * The parts of src/ from top to bottom: a part is a folder, or a file at the top. A part may import what stands in any
 * row below its own, and nothing in its own row.
 */
const ROWS: readonly (readonly string[])[] = [
  ["cli"],
  ["api", "doctor"],
  ["observe"],
  ["appliance"],
  ["backends", "capture", "guard"],
  ["engine"],
  ["host", "traffic"],
  ["dataplane", "config"],
  ["xsk", "bpf"],
  ["steering"],
  ["packet", "ffi", "dashboard"],
  ["log.ts", "errors.ts", "version.ts"],
  ["journal.ts", "locale.ts", "stderr.ts", "text.ts"],
];
const ROW_OF = new Map(ROWS.flatMap((row, index) => row.map((part) => [part, index] as const)));
/** Drawn nowhere: everything may use them. */
const UNDRAWN = new Set(["log.ts", "errors.ts", "version.ts", "journal.ts", "locale.ts", "stderr.ts", "text.ts"]);

/** Runs anywhere: no FFI, no Deno, no clock. These import one another only. */
const PURE = new RegExp(
  "^(packet|steering)/|^dataplane/(process|forward|forward_errors|forward_wrapped|icmp_errors|rate_limit|batch|" +
    "control_words|counters)\\.ts$",
);
const IMPURE = /\bDeno\.|\bDate\b|\bperformance\b|\bsetTimeout\b/;
/** Only src/ffi/ reaches memory and libraries. */
const FFI = /\bDeno\.(dlopen|UnsafePointer|UnsafePointerView|UnsafeCallback|UnsafeFnPointer)\b/;
/** Only these print. */
const PRINTS = /\bDeno\.(stdout|stderr)\b/;
const MAY_PRINT = /^((log|stderr)\.ts|cli\/)/;

const root = normalize(join(import.meta.dirname!, ".."));
const source = join(root, "src");
const problems: string[] = [];
/** What each part imports. */
const imports = new Map<string, Set<string>>();

for await (const path of sources(source)) {
  const file = relative(source, path);
  const part = file.split("/")[0]!;
  const code = withoutComments(await Deno.readTextFile(path));
  const row = ROW_OF.get(part);
  if (row === undefined) {
    problems.push(`src/${file}: "${part}" is in no layer: add it to ROWS in scripts/check_layers.ts`);
    continue;
  }
  for (const [, fromStatic, fromDynamic] of code.matchAll(/\bfrom\s+"(\.[^"]+)"|\bimport\(\s*"(\.[^"]+)"/g)) {
    const specifier = fromStatic ?? fromDynamic!;
    const target = relative(source, join(dirname(path), specifier));
    const targetPart = target.split("/")[0]!;
    if (targetPart === "..") continue; // build/ and deno.json: data
    if (targetPart !== part) {
      if ((ROW_OF.get(targetPart) ?? -1) <= row) {
        problems.push(`src/${file}: ${part} may not import ${targetPart} ("${specifier}")`);
      }
      imports.set(part, (imports.get(part) ?? new Set()).add(targetPart));
    }
    if (PURE.test(file) && !PURE.test(target)) problems.push(`src/${file}: is pure and may not import src/${target}`);
  }
  if (PURE.test(file) && IMPURE.test(code)) {
    problems.push(`src/${file}: is pure and may not name ${IMPURE.exec(code)![0]}`);
  }
  if (part !== "ffi" && FFI.test(code)) problems.push(`src/${file}: only src/ffi may name ${FFI.exec(code)![0]}`);
  if (!MAY_PRINT.test(file) && PRINTS.test(code)) problems.push(`src/${file}: only src/log.ts and src/cli may print`);
}
await holdPicture();

for (const problem of problems) console.error(problem);
if (problems.length > 0) Deno.exit(1);

/** Compares the picture in docs/architecture.md with the imports there are, or draws it again. */
async function holdPicture(): Promise<void> {
  const path = join(root, "docs/architecture.md");
  const text = await Deno.readTextFile(path);
  const drawn = text.replace(/```mermaid\ngraph TD\n[\s\S]*?```/, `\`\`\`mermaid\ngraph TD\n${picture()}\`\`\``);
  if (drawn === text) return;
  if (Deno.args.includes("--write")) await Deno.writeTextFile(path, drawn);
  else {
    problems.push(
      "docs/architecture.md: the picture of the layers is out of date: " +
        "deno run --allow-read=. --allow-write=docs scripts/check_layers.ts --write",
    );
  }
}

/** The imports as a graph, top row first, without those that follow from others. */
function picture(): string {
  const order = ROWS.flat().filter((part) => !UNDRAWN.has(part));
  const lines = order.map((part) => {
    const targets = [...imports.get(part) ?? []].filter((target) => !UNDRAWN.has(target));
    const direct = targets.filter((target) => !targets.some((other) => other !== target && reaches(other, target)));
    direct.sort((left, right) => order.indexOf(left) - order.indexOf(right));
    return direct.length === 0 ? "" : `  ${part} --> ${direct.join(" & ")}\n`;
  });
  return `  main[main.ts] --> cli & api & capture & config\n  worker[worker.ts] --> dataplane\n${lines.join("")}`;
}

function reaches(from: string, to: string): boolean {
  return [...imports.get(from) ?? []].some((next) => next === to || reaches(next, to));
}

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
