/**
 * What the person who runs the tests sees.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- this prints the report of a program
import type { StageResult } from "./execute.ts";
import type { Stage } from "./stages.ts";

/** Without a terminal: a line of what is running after so much silence. */
const SILENCE_MS = 15_000;
const TICK_MS = 1000;
const SLOWEST = 10;
/** Lines of the output of a stage that failed without a failed test, repeated at the end. */
const LAST_LINES = 20;

const seconds = (value: number): string => `${value.toFixed(1)} s`;

/** Prints each stage's output in one piece when the stage ends; until then, which stages run and for how long. */
export class Report implements Disposable {
  readonly #results: StageResult[] = [];
  readonly #notRun: { readonly stage: Stage; readonly cause: string }[] = [];
  readonly #running = new Map<Stage, number>();
  readonly #start = performance.now();
  readonly #isTerminal = Deno.stdout.isTerminal();
  readonly #timer: ReturnType<typeof setInterval>;
  #spoke = performance.now();
  #hasStatus = false;

  /** @param total How many stages there are. */
  constructor(private readonly total: number) {
    this.#timer = setInterval(() => this.#progress(), TICK_MS);
  }

  started(stage: Stage): void {
    this.#running.set(stage, performance.now());
  }

  ended(result: StageResult): void {
    this.#running.delete(result.stage);
    this.#results.push(result);
    this.#print(`== ${result.stage.name}`);
    const output = result.output.trimEnd();
    if (output !== "") console.log(output.trimStart());
    console.log(
      `   ${result.success ? "ok" : "FAILED"} (${seconds(result.seconds)}, CPU ${seconds(result.cpuSeconds)})`,
    );
  }

  notRun(stage: Stage, cause: string): void {
    this.#notRun.push({ stage, cause });
    this.#print(`== ${stage.name}\n   NOT RUN: "${cause}" did not succeed`);
  }

  /** Prints the slowest tests, all failures once more, and how many passed and failed. @returns how many failed. */
  summary(): number {
    this[Symbol.dispose]();
    this.#print("");
    this.#printSlowest();
    this.#printFailures();
    const sum = (of: (result: StageResult) => number): number =>
      this.#results.reduce((all, result) => all + of(result), 0);
    const passed = sum((result) => result.passed);
    const failed = sum((result) => result.failed) + this.#notRun.length;
    const elapsed = (performance.now() - this.#start) / 1000;
    const cpu = seconds(sum((result) => result.cpuSeconds));
    console.log(`${this.#results.length} of ${this.total} stages in ${seconds(elapsed)}, CPU ${cpu}`);
    console.log(`${passed} passed, ${failed} failed`);
    return failed;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#clearStatus();
  }

  #printSlowest(): void {
    const tests = this.#results.flatMap(({ stage, tests }) => tests.map((test) => ({ ...test, stage: stage.name })));
    const others = this.#results.filter(({ tests }) => tests.length === 0)
      .map(({ stage, seconds }) => ({ stage: stage.name, name: "", seconds }));
    const slowest = [...tests, ...others].sort((one, other) => other.seconds - one.seconds).slice(0, SLOWEST);
    console.log("Slowest:");
    for (const { stage, name, seconds: took } of slowest) {
      console.log(`${seconds(took).padStart(9)}  ${stage}${name === "" ? "" : `: ${name}`}`);
    }
    console.log("");
  }

  #printFailures(): void {
    for (const { stage, success, tests, output } of this.#results) {
      if (success) continue;
      const failures = tests.filter(({ failure }) => failure !== undefined);
      for (const { file, name, failure } of failures) {
        console.log(`FAILED ${stage.name}: ${name} (${file})\n${failure}\n`);
      }
      if (failures.length > 0) continue;
      const lines = output.trimEnd().split("\n").slice(-LAST_LINES);
      console.log(`FAILED ${stage.name}, which ended with:\n${lines.join("\n")}\n`);
    }
    for (const { stage, cause } of this.#notRun) console.log(`NOT RUN ${stage.name}: "${cause}" did not succeed\n`);
  }

  #progress(): void {
    const now = performance.now();
    const running = [...this.#running].filter(([, since]) => now - since >= TICK_MS)
      .map(([{ name }, since]) => `${name} ${Math.round((now - since) / 1000)} s`);
    if (running.length === 0) return;
    const ended = this.#results.length + this.#notRun.length;
    const status = `${ended} of ${this.total} stages; ${running.join(", ")}`;
    if (this.#isTerminal) {
      this.#clearStatus();
      const { columns } = Deno.consoleSize();
      Deno.stdout.writeSync(new TextEncoder().encode(status.slice(0, columns - 1)));
      this.#hasStatus = true;
    } else if (now - this.#spoke >= SILENCE_MS) {
      this.#print(`.. ${status}`);
    }
  }

  #print(line: string): void {
    this.#clearStatus();
    console.log(line);
    this.#spoke = performance.now();
  }

  #clearStatus(): void {
    if (this.#hasStatus) Deno.stdout.writeSync(new TextEncoder().encode("\r\x1b[K"));
    this.#hasStatus = false;
  }
}
