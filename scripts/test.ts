/**
 * Everything that has to hold: format, lint, layers, types, generated files, then the tests. Ends with `N passed, N failed`.
 *
 *     scripts/dev test            all
 *     scripts/dev test e2e        only the steps whose name contains a word given
 */
// deno-lint-ignore-file no-console
import { fileURLToPath } from "node:url";

interface Step {
  readonly name: string;
  readonly args: readonly string[];
  /** True for `deno test`: its own tests are counted, and not the step. */
  readonly counts?: boolean;
  /** Default: deno. */
  readonly program?: string;
  readonly env?: Readonly<Record<string, string>>;
}

// Deno's leak checks are off by default; unclosed files and libraries are to fail.
const TEST = ["test", "--quiet", "-A", "--no-check", "--sanitize-ops", "--sanitize-resources"];
const KERNEL_TEST = [...TEST, "--preload=tests/support/libraries.ts"];

/** The end-to-end tests run with the one file; from source those of what depends on how the code is loaded and compiled. */
const FROM_SOURCE = ["capture", "cli", "hot_loop", "lifecycle", "remap", "steering"]
  .map((name) => `tests/e2e/${name}_test.ts`);

const EMPTY_ROOT = fileURLToPath(new URL("../tests/packaging/empty_root.sh", import.meta.url));

const STEPS: readonly Step[] = [
  { name: "format", args: ["fmt", "--quiet", "--check"] },
  { name: "lint", args: ["lint", "--quiet"] },
  { name: "layers", args: ["run", "--quiet", "--allow-read=.", "scripts/check_layers.ts"] },
  { name: "types", args: ["check", "--quiet", "main.ts", "worker.ts", "src", "scripts", "tests"] },
  { name: "BPF layouts", args: ["run", "--quiet", "-A", "scripts/gen_bpf_layout.ts", "--check"] },
  { name: "JSON schema", args: ["run", "--quiet", "-A", "scripts/gen_schema.ts", "--check"] },
  { name: "generated documents", args: ["run", "--quiet", "-A", "scripts/gen_config_docs.ts", "--check"] },
  { name: "unit tests", args: [...TEST, "src"], counts: true },
  { name: "uapi tests", args: [...TEST, "tests/uapi"], counts: true },
  { name: "kernel tests", args: [...KERNEL_TEST, "tests/kernel"], counts: true },
  { name: "bench tests", args: [...KERNEL_TEST, "tests/bench"], counts: true },
  { name: "e2e tests from source", args: [...KERNEL_TEST, ...FROM_SOURCE], counts: true },
  { name: "compile", args: ["run", "--quiet", "-A", "scripts/compile.ts"] },
  { name: "packaging tests", args: [...TEST, "tests/packaging"], counts: true },
  { name: "empty root for the one file", program: EMPTY_ROOT, args: ["make"] },
  {
    name: "e2e tests of the one file, in an empty root",
    args: [...KERNEL_TEST, "tests/e2e"],
    env: { XDPSTEER_COMMAND: `${EMPTY_ROOT} run` },
    counts: true,
  },
  { name: "the empty root, as it was but for the cache", program: EMPTY_ROOT, args: ["check"] },
];

const SUMMARY = /(\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed/g;

const wanted = Deno.args;
let passed = 0;
let failed = 0;
for (const step of STEPS) {
  if (wanted.length > 0 && !wanted.some((word) => step.name.includes(word))) continue;
  const start = performance.now();
  console.log(`== ${step.name}`);
  const { success, output } = await run(step);
  const counted = step.counts ? [...output.matchAll(SUMMARY)].at(-1) : undefined;
  if (counted !== undefined) {
    passed += Number(counted[1]);
    failed += Number(counted[2]);
    if (!success && Number(counted[2]) === 0) failed++; // a leak, or an error outside of any test
  } else if (success && !step.counts) {
    passed++;
  } else {
    failed++;
  }
  console.log(`   ${success ? "ok" : "FAILED"} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
}
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(failed === 0 && passed > 0 ? 0 : 1);

/** Runs a step; what it prints is shown as it comes. */
async function run({ args, program = Deno.execPath(), env = {} }: Step): Promise<{ success: boolean; output: string }> {
  const child = new Deno.Command(program, {
    args: [...args],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [stdout, stderr] = await Promise.all([tee(child.stdout), tee(child.stderr)]);
  return { success: (await child.status).success, output: stdout + stderr };
}

async function tee(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const part = decoder.decode(chunk, { stream: true });
    text += part;
    await Deno.stdout.write(new TextEncoder().encode(part));
  }
  return text;
}
