/**
 * Runs one stage as a child process.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { readJunit, type TestResult } from "./junit.ts";
import type { Stage } from "./stages.ts";

export interface StageResult {
  readonly stage: Stage;
  readonly success: boolean;
  readonly seconds: number;
  /** Of CPU time, of the stage and all that it started: comparable also where the machine has more to do. */
  readonly cpuSeconds: number;
  /** Standard output and error, in the order in which they came. */
  readonly output: string;
  readonly passed: number;
  readonly failed: number;
  /** Those of `deno test`; empty for other stages. */
  readonly tests: readonly TestResult[];
}

const ISOLATED = fileURLToPath(new URL("./isolated.sh", import.meta.url));
/** Runs the words after the first, with both streams as one, and writes the CPU time that they took to that file. */
const WRAPPER = 'times=$1; shift; "$@" 2>&1; code=$?; times >"$times"; exit $code';
/** The last line of `deno test`. */
const SUMMARY = /(\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed/g;

/** Runs stages; each has a directory for temporary files, which is removed when the stage ends. */
export class Executor implements AsyncDisposable {
  readonly #running = new Set<Deno.ChildProcess>();
  #count = 0;

  private constructor(private readonly directory: string, private readonly env: Readonly<Record<string, string>>) {}

  /** @param env Added to the environment of every stage. */
  static async create(env: Readonly<Record<string, string>>): Promise<Executor> {
    // Short: sockets below it have paths of at most 107 bytes.
    const directory = await Deno.makeTempDir({ prefix: "xt-" });
    await Deno.chmod(directory, 0o755); // some tests run the product as an ordinary user
    return new Executor(directory, env);
  }

  /** Runs a stage to its end. A stage that leaves temporary files fails. */
  async run(stage: Stage): Promise<StageResult> {
    const start = performance.now();
    const place = `${this.directory}/${this.#count++}`;
    const temporary = `${place}/tmp`;
    await Deno.mkdir(temporary, { recursive: true });
    await Deno.chmod(temporary, 0o1777);
    const [junit, times] = [`${place}/junit.xml`, `${place}/times`];
    const [program, ...args] = stage.argv;
    const argv = stage.isTest ? [program!, ...args, `--junit-path=${junit}`] : stage.argv;
    const child = new Deno.Command("sh", {
      args: ["-c", WRAPPER, "sh", times, ...(stage.isolated ? [ISOLATED] : []), ...argv],
      env: { NO_COLOR: "1", TMPDIR: temporary, ...this.env, ...stage.env },
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      detached: true, // a process group of its own: Ctrl-C is the runner's, which then ends the group
    }).spawn();
    this.#running.add(child);
    let output = await new Response(child.stdout).text();
    const status = await child.status;
    this.#running.delete(child);

    const left = [...Deno.readDirSync(temporary)].map(({ name }) => name);
    if (left.length > 0) output += `temporary files were left behind: ${left.join(", ")}\n`;
    const tests = stage.isTest ? await readJunit(junit) : [];
    const cpuSeconds = parseTimes(await Deno.readTextFile(times).catch(() => ""));
    await Deno.remove(place, { recursive: true });
    const success = status.success && left.length === 0;
    const seconds = (performance.now() - start) / 1000;
    return { stage, success, seconds, cpuSeconds, output, tests, ...counts(stage, success, output) };
  }

  /** Kills all that runs. */
  kill(): void {
    for (const child of this.#running) {
      try {
        Deno.kill(-child.pid, "SIGKILL");
      } catch {
        // It has ended.
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await Deno.remove(this.directory, { recursive: true });
  }
}

/** What the shell's `times` prints: user and system time of itself, then of its children, each as `1m2.345s`. */
export function parseTimes(text: string): number {
  const all = [...text.matchAll(/(\d+)m([\d.]+)s/g)];
  return all.reduce((sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds), 0);
}

/** A stage counts as one, a test file as many as it has tests; and one more if it failed, but none of its tests did. */
function counts(stage: Stage, success: boolean, output: string): { passed: number; failed: number } {
  const summary = stage.isTest ? [...output.matchAll(SUMMARY)].at(-1) : undefined;
  if (summary === undefined) return success && !stage.isTest ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  const [passed, failed] = [Number(summary[1]), Number(summary[2])];
  return { passed, failed: !success && failed === 0 ? 1 : failed };
}
