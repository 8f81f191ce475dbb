/**
 * Everything that has to hold: format, lint, layers, types, generated files, then the tests. The last line is
 * `N passed, N failed`.
 *
 *     scripts/dev test                     all, in the default sizes
 *     scripts/dev test --full              all, in the sizes that a release is tested with (tests/support/sizes.ts)
 *     scripts/dev test --only PATTERN      stages with PATTERN in name or file, and what they need; may be repeated
 *     scripts/dev test --list              the stages, and what each waits for
 *     scripts/dev test --lanes N           stages beside each other; default: two more than there are CPUs
 */
// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";
import { Executor } from "./test/execute.ts";
import { Report } from "./test/report.ts";
import { schedule, withNeeded } from "./test/schedule.ts";
import { allStages, type Stage } from "./test/stages.ts";

const INTERRUPTED = 130;

function fail(why: string): never {
  console.error(`scripts/dev test: ${why}`);
  Deno.exit(2);
}

function readOptions(): { full: boolean; list: boolean; only: readonly string[]; lanes: number } {
  try {
    const { values } = parseArgs({
      options: {
        full: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        only: { type: "string", multiple: true, default: [] },
        lanes: { type: "string", default: `${navigator.hardwareConcurrency + 2}` }, // many a stage waits
      },
    });
    const lanes = Number(values.lanes);
    if (!Number.isInteger(lanes) || lanes < 1) fail(`--lanes ${values.lanes} is not a number from 1`);
    return { ...values, lanes };
  } catch (error) {
    fail((error as Error).message);
  }
}

function choose(only: readonly string[]): Stage[] {
  const all = allStages();
  if (only.length === 0) return [...all];
  const fits = ({ name, argv }: Stage, pattern: string): boolean =>
    name.includes(pattern) || argv.at(-1)!.includes(pattern);
  for (const pattern of only) {
    if (!all.some((stage) => fits(stage, pattern))) fail(`no stage has "${pattern}" in its name or file: see --list`);
  }
  return withNeeded(all, all.filter((stage) => only.some((pattern) => fits(stage, pattern))));
}

const { full, list, only, lanes } = readOptions();
const stages = choose(only);
if (list) {
  for (const { name, after = [], afterEnd = [] } of stages) {
    const waits = [...after, ...(afterEnd.length > 3 ? [`${afterEnd.length} more stages`] : afterEnd)];
    console.log(waits.length === 0 ? name : `${name}  (after ${waits.join(", ")})`);
  }
  Deno.exit(0);
}

let code: number;
{
  await using executor = await Executor.create({ XDPSTEER_TEST_SIZES: full ? "full" : "default" });
  using report = new Report(stages.length);
  const interrupt = new AbortController();
  const onSignal = (): void => {
    interrupt.abort();
    executor.kill();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, onSignal);
  await schedule(stages, lanes, {
    signal: interrupt.signal,
    run: async (stage) => {
      report.started(stage);
      const result = await executor.run(stage);
      if (!interrupt.signal.aborted) report.ended(result);
      return result.success;
    },
    cannotRun: (stage, cause) => report.notRun(stage, cause),
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, onSignal);
  if (interrupt.signal.aborted) console.log("Interrupted: what was running was ended, and is not counted");
  const failed = report.summary();
  code = interrupt.signal.aborted ? INTERRUPTED : failed === 0 ? 0 : 1;
}
Deno.exit(code);
