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
  /** Standard output and error, in the order in which they came. */
  readonly output: string;
  readonly passed: number;
  readonly failed: number;
  /** Those of `deno test`; empty for other stages. */
  readonly tests: readonly TestResult[];
}

const ISOLATED = fileURLToPath(new URL("./isolated.sh", import.meta.url));
/** The last line of `deno test`. */
const SUMMARY = /(\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed/g;

/** Runs stages; each has a directory for temporary files, which is removed when the stage ends. */
export class Executor implements AsyncDisposable {
  readonly #running = new Set<Deno.ChildProcess>();
  #count = 0;

  private constructor(private readonly directory: string, private readonly env: Readonly<Record<string, string>>) {}

  /** @param env Added to the environment of every stage. */
  static async create(env: Readonly<Record<string, string>>): Promise<Executor> {
    const directory = await Deno.makeTempDir({ prefix: "xdpsteer-test-" });
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
    const junit = `${place}/junit.xml`;
    const [program, ...args] = stage.argv;
    const argv = stage.isTest ? [program!, ...args, `--junit-path=${junit}`] : stage.argv;
    const child = new Deno.Command("sh", {
      args: ["-c", 'exec "$@" 2>&1', "sh", ...(stage.isolated ? [ISOLATED] : []), ...argv],
      env: { NO_COLOR: "1", TMPDIR: temporary, ...this.env, ...stage.env },
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#running.add(child);
    let output = await new Response(child.stdout).text();
    const status = await child.status;
    this.#running.delete(child);

    const left = [...Deno.readDirSync(temporary)].map(({ name }) => name);
    if (left.length > 0) output += `temporary files were left behind: ${left.join(", ")}\n`;
    const tests = stage.isTest ? await readJunit(junit) : [];
    await Deno.remove(place, { recursive: true });
    const success = status.success && left.length === 0;
    const seconds = (performance.now() - start) / 1000;
    return { stage, success, seconds, output, tests, ...counts(stage, success, output) };
  }

  /** Kills all that runs. */
  kill(): void {
    for (const child of this.#running) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
  }
}

/** A stage counts as one, a test file as many as it has tests; and one more if it failed, but none of its tests did. */
function counts(stage: Stage, success: boolean, output: string): { passed: number; failed: number } {
  const summary = stage.isTest ? [...output.matchAll(SUMMARY)].at(-1) : undefined;
  if (summary === undefined) return success && !stage.isTest ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  const [passed, failed] = [Number(summary[1]), Number(summary[2])];
  return { passed, failed: !success && failed === 0 ? 1 : failed };
}
