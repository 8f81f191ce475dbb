/**
 * What `scripts/dev test` runs, and what each stage needs.
 *
 * @module
 */
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { Node } from "./schedule.ts";

export interface Stage extends Node {
  readonly argv: readonly string[];
  /** True for `deno test`: its tests are counted instead of the stage. */
  readonly isTest?: boolean;
  /**
   * True for what makes network namespaces: it runs in process and mount namespaces of its own, and leaves nothing
   * behind.
   */
  readonly isolated?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const EMPTY_ROOT = `${ROOT}tests/packaging/empty_root.sh`;

const deno = (...args: string[]): string[] => [Deno.execPath(), ...args];
const script = (name: string, ...args: string[]): string[] =>
  deno("run", "--quiet", "-A", `scripts/${name}.ts`, ...args);
// Deno's leak checks are off by default; unclosed files and libraries must fail.
const TEST = ["test", "--quiet", "-A", "--no-check", "--sanitize-ops", "--sanitize-resources"];
const WITH_LIBRARIES = "--preload=tests/support/libraries.ts";

const STATIC: readonly Stage[] = [
  { name: "types", argv: deno("check", "--quiet", "main.ts", "worker.ts", "src", "scripts", "tests") },
  { name: "format", argv: deno("fmt", "--quiet", "--check") },
  { name: "lint", argv: deno("lint", "--quiet") },
  { name: "layers", argv: deno("run", "--quiet", "--allow-read=.", "scripts/check_layers.ts") },
  { name: "text", argv: script("check_text") },
  { name: "BPF layouts", argv: script("gen_bpf_layout", "--check") },
  { name: "JSON schema", argv: script("gen_schema", "--check") },
  { name: "generated documents", argv: script("gen_config_docs", "--check") },
];

const COMPILE = "compile";
const MAKE_ROOT = "empty root for the one file";

/** Stages that take longest. They start first, so that none of them is left running alone at the end. */
const LONGEST = [
  ...["e2e/rollback", "e2e/forged_mtu", "e2e/http_flood", "e2e/stalled_worker"],
  ...[
    "packaging/service",
    "packaging/deb",
    "e2e/dashboard",
    "e2e/forward_change",
    "kernel/health",
    "e2e/top",
    "e2e/lifecycle",
  ],
  ...["e2e/echo", "e2e/forward_programs", "e2e/ports", "e2e/remap", "e2e/capture", "e2e/capture_files"],
];

/** A stage for each test file of a folder below tests/: each is a process of its own, and can run beside others. */
function perFile(folder: string, more: Partial<Stage> = {}): Stage[] {
  const names = [...Deno.readDirSync(`${ROOT}tests/${folder}`)].map(({ name }) => name).sort();
  return names.filter((name) => name.endsWith("_test.ts")).map((file) => ({
    name: `${folder}/${basename(file, "_test.ts")}`,
    argv: deno(...TEST, WITH_LIBRARIES, `tests/${folder}/${file}`),
    isTest: true,
    isolated: true,
    ...more,
  }));
}

/** The same stages, those that take longest first. */
function longestFirst(stages: readonly Stage[]): Stage[] {
  const rank = ({ name }: Stage): number => LONGEST.indexOf(name) >>> 0;
  return stages.toSorted((one, other) => rank(one) - rank(other));
}

/** All stages, in the order in which they start where nothing else decides. */
export function allStages(): readonly Stage[] {
  const oneFile = perFile("e2e", {
    after: [MAKE_ROOT],
    env: { XDPSTEER_COMMAND: `${EMPTY_ROOT} run` },
  });
  return [
    { name: COMPILE, argv: script("compile") },
    { name: MAKE_ROOT, argv: [EMPTY_ROOT, "make"], after: [COMPILE] },
    ...STATIC,
    { name: "unit", argv: deno(...TEST, WITH_LIBRARIES, "src", "scripts/test"), isTest: true },
    { name: "uapi", argv: deno(...TEST, "tests/uapi"), isTest: true },
    ...longestFirst([
      ...oneFile,
      ...perFile("packaging", { after: [COMPILE] }),
      ...perFile("kernel"),
      ...perFile("source"),
      ...perFile("bench"),
    ]),
    {
      name: "the empty root, as it was but for the cache",
      argv: [EMPTY_ROOT, "check"],
      after: [MAKE_ROOT],
      afterEnd: oneFile.map(({ name }) => name),
    },
  ];
}
