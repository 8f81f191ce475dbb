/**
 * `scripts/dev bench`: xdpsteer beside C, nginx and the kernel's own ways in one run. Prints a table; writes
 * build/bench/results.json and results.svg.
 *
 *     scripts/dev bench [--quick] [--out DIRECTORY] [WORKLOAD...]      e.g. scripts/dev bench forward
 */
// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";
import { forward } from "./forward.ts";
import { type Machine, renderJson, renderSvg, renderTable } from "./report.ts";
import { build } from "./rig.ts";
import { guardCost } from "./guard_cost.ts";
import { listCost } from "./list_cost.ts";
import { latency, soak } from "./latency.ts";
import { reload, scaling, startup } from "./lifecycle.ts";
import { type Effort, FULL, QUICK, type Result, type Workload } from "./results.ts";
import { steeringCost } from "./steering_cost.ts";
import { cpuPerPacket, throughput } from "./throughput.ts";

const WORKLOADS: Readonly<Record<string, Workload>> = {
  throughput,
  cpu: cpuPerPacket,
  latency,
  forward,
  steering: steeringCost,
  guard: guardCost,
  lists: listCost,
  scaling,
  reload,
  startup,
  soak,
};

const USAGE = `scripts/dev bench [--quick] [--out DIRECTORY] [WORKLOAD...]
Workloads, all of them where none is named: ${Object.keys(WORKLOADS).join(", ")}`;

function readArguments(): { options: { quick: boolean; out: string }; chosen: readonly string[] } {
  try {
    const { values: { help, ...options }, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        help: { type: "boolean", short: "h", default: false },
        quick: { type: "boolean", default: false },
        out: { type: "string", default: "build/bench" },
      },
    });
    if (!help) return { options, chosen: positionals };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    Deno.exit(2);
  }
  console.log(USAGE);
  Deno.exit(0);
}

const { options, chosen } = readArguments();
for (const name of chosen) {
  if (!Object.hasOwn(WORKLOADS, name)) {
    console.error(`There is no workload "${name}": there are ${Object.keys(WORKLOADS).join(", ")}`);
    Deno.exit(2);
  }
}

const load = (): number => Number(Deno.readTextFileSync("/proc/loadavg").split(" ")[0]);
const cpu = /^model name\s*:\s*(.+)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? Deno.build.arch;

const loadBefore = load();
const interrupt = new AbortController();
const effort: Effort = { ...(options.quick ? QUICK : FULL), interrupted: interrupt.signal };
for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, () => interrupt.abort(name));
const start = performance.now();
const report = (line: string): void =>
  console.error(`${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s  ${line}`);
await build();
const results: Result[] = [];
try {
  for (const [name, run] of Object.entries(WORKLOADS)) {
    if (chosen.length === 0 || chosen.includes(name)) results.push(...await run(effort, report));
  }
} catch (error) {
  if (!interrupt.signal.aborted) throw error;
  console.error(`${interrupt.signal.reason}: ended`);
  Deno.exit(1);
}
const machine: Machine = {
  cores: navigator.hardwareConcurrency,
  kernel: Deno.osRelease(),
  cpu,
  loadBefore,
  loadAfter: load(),
  deno: Deno.version.deno,
  date: new Date().toISOString().slice(0, 10),
};
await Deno.mkdir(options.out, { recursive: true });
await Deno.writeTextFile(`${options.out}/results.json`, renderJson(machine, results));
await Deno.writeTextFile(`${options.out}/results.svg`, renderSvg(machine, results));
console.log(renderTable(results));
console.log(
  `\n${machine.cores} cores, ${cpu}, Linux ${machine.kernel}; load ${loadBefore} before, ${machine.loadAfter} after; ` +
    `${effort.rounds} rounds of ${effort.slices} slices in ${((performance.now() - start) / 1000).toFixed(0)} s. ` +
    `${options.out}/results.json and results.svg have it all.`,
);
