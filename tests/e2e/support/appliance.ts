/**
 * A running xdpsteer in the steer namespace of a test network: its configuration file, its control socket, its log.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { request } from "node:http";
import { LOCK_SUFFIX } from "../../../src/api/alive.ts";
import type { Handover } from "../../../src/appliance/handover/estate.ts";
import type { Snapshot } from "../../../src/observe/observer.ts";
import type { EndedProblem, Problem, ProblemKind } from "../../../src/observe/problems/kinds.ts";
import type { Side, TestNetwork } from "../../support/netns.ts";
import { FAVOURED, niced } from "../../support/niceness.ts";
import { productCommand, TempDir } from "./command.ts";
import { configText, type TestConfig } from "./config.ts";
import { parseMetrics } from "../../support/metrics.ts";
import { isThere } from "./process_state.ts";
import { sleep, until } from "./wait.ts";

/** What GET /v1/status answers. */
export interface Status extends Snapshot {
  readonly version: string;
  readonly pid: number;
  readonly ready: boolean;
  readonly reloads: Readonly<Record<"applied" | "unchanged" | "refused", number>>;
  readonly handovers: Readonly<Record<"adopted" | "done" | "refused" | "rolledBack", number>> & {
    readonly last: Handover | null;
    /** Descriptors that are kept for the time after a crash. */
    readonly kept: number;
  };
  readonly lastReload: { readonly result: string; readonly message: string } | null;
}

/** What GET /v1/problems answers. */
export interface ProblemsAnswer {
  readonly problems: readonly Problem[];
  readonly endedProblems: readonly EndedProblem[];
}

export interface LogLine {
  readonly level: string;
  readonly logger: string;
  readonly message: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

export interface Answer {
  readonly code: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface ApplianceOptions {
  /** The namespace it runs in. Default steer. */
  readonly side?: Side;
  /** More words on the command line. */
  readonly args?: readonly string[];
  /** File name of the configuration below the appliance's directory. The file is there already where this is said. */
  readonly configFile?: string;
  /**
   * Lets it run before everything else on the machine: for tests in which no packet may be lost because it waits for a
   * CPU.
   */
  readonly favoured?: boolean;
  /** Words before the product's: another user, fewer capabilities. */
  readonly as?: readonly string[];
  /** More variables for the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where configuration and socket are; default: a directory of its own, gone with the appliance. */
  readonly directory?: string;
}

/** Far more than each takes, for the machine may be slow. */
const START_MS = 180_000;
const REQUEST_MS = 60_000;
/** A process that takes over listens sooner. */
const BETWEEN_MS = 5000;
const STOP_MS = 60_000;

export class Appliance implements AsyncDisposable {
  readonly configFile: string;
  readonly socket: string;
  /** Everything on standard error so far. */
  stderr = "";
  readonly #child: Deno.ChildProcess;
  readonly #temporary: TempDir | undefined;
  readonly #reading: Promise<unknown>;
  #exit: Deno.CommandStatus | undefined;
  /** The process that has taken over, and its directory in /proc, which tells whether it is there. */
  #successor: number | undefined;

  private constructor(child: Deno.ChildProcess, configFile: string, socket: string, temporary: TempDir | undefined) {
    this.#child = child;
    this.configFile = configFile;
    this.socket = socket;
    this.#temporary = temporary;
    this.#reading = Promise.all([
      this.#readStderr(child.stderr),
      child.stdout.pipeTo(new WritableStream()),
      child.status.then((status) => this.#exit = status),
    ]);
  }

  /** Starts the product and waits until it steers. */
  static async start(
    network: TestNetwork,
    config: TestConfig | ((socket: string) => string),
    options: ApplianceOptions = {},
  ): Promise<Appliance> {
    const temporary = options.directory === undefined ? await TempDir.create() : undefined;
    const directory = options.directory ?? temporary!.path;
    const configFile = `${directory}/${options.configFile ?? "steering.yaml"}`;
    const socket = `${directory}/control.sock`;
    const text = typeof config === "function" ? config(socket) : configText(config, socket);
    if (options.configFile === undefined) await Deno.writeTextFile(configFile, text);
    const argv = [
      ...options.as ?? [],
      ...productCommand(),
      "run",
      "--config",
      configFile,
      ...options.args ?? [],
    ];
    const command = options.favoured ? niced(FAVOURED, argv) : argv;
    // There is no such directory, so nothing is kept, unless the test makes one.
    const env = { XDPSTEER_STATE_DIR: `${directory}/state`, ...options.env };
    const child = network.spawn(options.side ?? "steer", command, { env });
    const appliance = new Appliance(child, configFile, socket, temporary);
    try {
      await until("a running appliance", () => appliance.#isReady(), { limitMs: START_MS });
      return appliance;
    } catch (error) {
      await appliance[Symbol.asyncDispose]();
      throw new Error(`xdpsteer does not start:\n${appliance.stderr}`, { cause: error });
    }
  }

  get pid(): number {
    return this.#successor ?? this.#child.pid;
  }

  /** Another process has taken over: this is about that one from now on. */
  followTo(pid: number): void {
    this.#successor = pid;
  }

  /** How the process ended that was started first, when another has taken over, and its output with it. */
  async handedOver(): Promise<Deno.CommandStatus> {
    return await until("the end of the process that has handed over", () => this.#exit);
  }

  /** Whether the process is there, and no zombie of somebody who does not ask for it. */
  get isAlive(): boolean {
    return isThere(this.pid);
  }

  /** The log so far, oldest first. */
  get log(): LogLine[] {
    const lines = this.stderr.split("\n").slice(0, -1);
    return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  }

  /** While one process gives the socket to another, it is waited for. */
  async request(
    method: string,
    path: string,
    body = "",
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const endMs = performance.now() + BETWEEN_MS;
    while (true) {
      try {
        return await this.#ask(method, path, body, headers);
      } catch (error) {
        const isNobody = ["ENOENT", "ECONNREFUSED"].includes((error as { code?: string }).code ?? "");
        if (!isNobody || performance.now() > endMs || !existsSync(this.socket + LOCK_SUFFIX)) throw error;
      }
      await sleep(20);
    }
  }

  #ask(method: string, path: string, body: string, headers: Readonly<Record<string, string>>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { socket: socketPath } = this;
      const options = { socketPath, path, method, headers, agent: false, timeout: REQUEST_MS };
      const call = request(options, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => text += part);
        response.on("error", reject);
        response.on("end", () => resolve({ code: response.statusCode ?? 0, body: text, headers: response.headers }));
      });
      call.on("timeout", () => call.destroy(new Error(`${method} ${path} is not answered`)));
      call.on("error", reject);
      call.end(body);
    });
  }

  async #get(path: string): Promise<string> {
    const { code, body } = await this.request("GET", path);
    assert.equal(code, 200, body);
    return body;
  }

  async status(): Promise<Status> {
    const { translationPorts, ...status } = JSON.parse(await this.#get("/v1/status"));
    // Sums are over both.
    return { ...status, rules: [...status.rules, ...translationPorts === null ? [] : [translationPorts]] };
  }

  /** The list of problems, and those that have ended lately. */
  async problems(): Promise<ProblemsAnswer> {
    return JSON.parse(await this.#get("/v1/problems"));
  }

  /** The problem of a kind that is in the list. */
  async problem(kind: ProblemKind): Promise<Problem | undefined> {
    return (await this.problems()).problems.find((each) => each.kind === kind);
  }

  /** Kinds of the problems in the list. */
  async problemKinds(): Promise<ProblemKind[]> {
    return (await this.problems()).problems.map(({ kind }) => kind);
  }

  /** Of each worker. */
  async heapKib(): Promise<readonly number[]> {
    return JSON.parse(await this.#get("/v1/status?heap")).workerHeapKib;
  }

  /** Every sample of /metrics, keyed as it stands there: `name{label="value",...}`. */
  async metrics(): Promise<Map<string, number>> {
    return parseMetrics(await this.#get("/metrics"));
  }

  /** Offers a configuration over the control socket. */
  put(config: TestConfig | string): Promise<Answer> {
    return this.request("PUT", "/v1/config", this.#text(config));
  }

  /** Replaces the configuration file by rename, as editors do. */
  async writeConfig(config: TestConfig | string | Uint8Array): Promise<void> {
    const next = `${this.configFile}.next`;
    await Deno.writeFile(next, this.#bytes(config));
    await Deno.rename(next, this.configFile);
  }

  /** Writes into the configuration file, as `cat > file` does. */
  async saveInPlace(config: TestConfig | string | Uint8Array): Promise<void> {
    await Deno.writeFile(this.configFile, this.#bytes(config));
  }

  #text(config: TestConfig | string): string {
    return typeof config === "string" ? config : configText(config, this.socket);
  }

  #bytes(config: TestConfig | string | Uint8Array): Uint8Array {
    return config instanceof Uint8Array ? config : new TextEncoder().encode(this.#text(config));
  }

  /** Waits for a status that fits. @returns it. */
  async untilStatus(what: string, fits: (status: Status) => boolean, limitMs?: number): Promise<Status> {
    let last: Status | undefined;
    return await until(what, async () => fits(last = await this.status()) ? last : undefined, {
      ...(limitMs === undefined ? {} : { limitMs }),
      describe: () => ({
        totals: last?.totals,
        generation: last?.generation,
        lastReload: last?.lastReload,
        captures: last?.captures,
      }),
    });
  }

  waitForGeneration(generation: number): Promise<Status> {
    return this.untilStatus(`generation ${generation}`, (status) => status.generation >= generation);
  }

  signal(signal: Deno.Signal): void {
    if (this.#successor === undefined) this.#child.kill(signal);
    else Deno.kill(this.#successor, signal);
  }

  /** How the process ended; waits for it. */
  async ended(limitMs = STOP_MS): Promise<Deno.CommandStatus> {
    const status = await until("the appliance's end", () => this.#exit, { limitMs });
    await this.#reading;
    return status;
  }

  /** Ends the process if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    // A test that has failed may not know who has taken over, and has the log open.
    const there = await this.status().catch(() => undefined);
    if (there !== undefined && there.pid !== this.pid) this.followTo(there.pid);
    if (this.#successor !== undefined) {
      if (this.isAlive) this.signal("SIGTERM");
      await until("the end of the process that took over", () => !this.isAlive, { limitMs: STOP_MS })
        .catch(() => this.signal("SIGKILL"));
    } else if (this.#exit === undefined) this.signal("SIGTERM");
    await this.ended().catch(() => this.signal("SIGKILL"));
    await this.#reading;
    await this.#temporary?.[Symbol.asyncDispose]();
  }

  async #isReady(): Promise<boolean> {
    if (this.#exit !== undefined) throw new Error(`It ended with ${this.#exit.code}`);
    // A request takes milliseconds of a CPU that whoever is starting can use.
    if (await Deno.stat(this.socket).catch(() => undefined) === undefined) return false;
    return await this.request("GET", "/livez").then(({ code }) => code === 200, () => false);
  }

  async #readStderr(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) this.stderr += part;
  }
}

/** {@linkcode Appliance.start} under the name the tests read best with. */
export const startAppliance = Appliance.start;

/** How many descriptors it has open. */
export function openFiles(box: Pick<Appliance, "pid">): number {
  return [...Deno.readDirSync(`/proc/${box.pid}/fd`)].length;
}
