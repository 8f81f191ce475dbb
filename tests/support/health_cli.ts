/**
 * HealthChecks as a program, since a process is in one network namespace only. It reads requests, a JSON line each, and
 * answers each with one; a line for each change of a backend's health comes in between. Tests use
 * {@linkcode HealthProcess}.
 *
 * @module
 */
import { type BackendHealth, HealthChecks } from "../../src/backends/health/checks.ts";
import type { HealthCheckKind } from "../../src/steering/forward.ts";
import type { Payload } from "../../src/steering/payload.ts";
import type { PortRange } from "../../src/steering/rule.ts";
import { configureLog } from "../../src/log.ts";
import { parseAddress } from "../../src/packet/address.ts";
import { PATIENCE_MS } from "../e2e/support/wait.ts";
import { AnsweringProcess, answerRequests } from "./answering_process.ts";
import type { Side, SpawnOptions, TestNetwork } from "./netns.ts";

/** A backend and its check. */
export interface BackendText {
  readonly kind: HealthCheckKind;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly rise: number;
  readonly fall: number;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly checkPort?: number;
  readonly payload?: Payload;
  readonly expect?: Payload;
}

export interface Change {
  readonly name: string;
  readonly healthy: boolean;
  readonly reason: string;
  /** Checks that had ended by then, the one that made the difference included. */
  readonly checks: number;
  readonly sinceSetMs: number;
}

type Request =
  | { readonly call: "set"; readonly backends: readonly BackendText[]; readonly steered: readonly PortRange[] }
  | { readonly call: "status" | "openFiles" }
  /** Ends the checks; nothing else ends the process. */
  | { readonly call: "dispose" };

const SETTLED_MS = 300;

/** The program, run in the client namespace. */
export class HealthProcess extends AnsweringProcess<Request, Change> {
  log = "";
  readonly #logged: Promise<void>;

  private constructor(child: Deno.ChildProcess) {
    super(child);
    this.#logged = this.#readLog();
  }

  /** @param wrapper Runs it: `setpriv` and its options. */
  static async start(
    network: TestNetwork,
    { wrapper = [], env = {}, side = "client" }: {
      readonly wrapper?: readonly string[];
      readonly env?: Readonly<Record<string, string>>;
      readonly side?: Side;
    } = {},
  ): Promise<HealthProcess> {
    const options: SpawnOptions = { stdin: "piped", env: { NO_COLOR: "1", ...env } };
    const argv = [...wrapper, Deno.execPath(), "run", "--quiet", "--no-check", "-A", import.meta.filename!];
    const process = new HealthProcess(network.spawn(side, argv, options));
    try {
      await process.status();
      return process;
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw new Error(`The health checks do not start: ${process.log}`, { cause: error });
    }
  }

  /** @param steered Ports that no check may be sent from. */
  async set(backends: readonly BackendText[], steered: readonly PortRange[] = []): Promise<void> {
    await this.ask({ call: "set", backends, steered });
  }

  status(): Promise<Readonly<Record<string, BackendHealth>>> {
    return this.ask({ call: "status" }) as Promise<Record<string, BackendHealth>>;
  }

  /** What each of its sockets, eventfds and the like is. */
  openFiles(): Promise<readonly string[]> {
    return this.ask({ call: "openFiles" }) as Promise<string[]>;
  }

  /**
   * Disposes of the checks. @returns what is open then. @throws {Error} where the process does not end by itself, with
   * 0.
   */
  async end(): Promise<readonly string[]> {
    const open = await this.ask({ call: "dispose" }) as string[];
    const patience = setTimeout(() => this.child.kill("SIGKILL"), PATIENCE_MS);
    const code = await this.close();
    clearTimeout(patience);
    if (code !== 0) throw new Error(`The health checks ended with ${code}: ${this.log}`);
    return open;
  }

  async #readLog(): Promise<void> {
    for await (const part of this.child.stderr.pipeThrough(new TextDecoderStream())) this.log += part;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#logged;
  }
}

/**
 * Sockets, eventfds and the like: what of a check could be left open. Deno opens Unix sockets of its own when it likes.
 */
function openFiles(): string[] {
  const unix = new Set(Deno.readTextFileSync("/proc/net/unix").split("\n").map((line) => line.split(/\s+/)[6]));
  return [...Deno.readDirSync("/proc/self/fd")].flatMap(({ name }) => {
    let target: string;
    try {
      target = Deno.readLinkSync(`/proc/self/fd/${name}`);
    } catch {
      return []; // the directory itself
    }
    const [, inode] = /^socket:\[(\d+)\]$/.exec(target) ?? [];
    if (inode !== undefined) return unix.has(inode) ? [] : ["socket"];
    return target.startsWith("anon_inode:") ? [target] : [];
  }).sort();
}

async function main(): Promise<void> {
  configureLog({ level: "info", format: "json" });
  await answerRequests(health);
}

function health(tell: (change: Change) => void): (request: Request) => Promise<unknown> {
  let setAt = 0;
  const checks: HealthChecks = new HealthChecks((name, healthy, reason) => {
    const { checks: count } = checks.status().get(name)!;
    tell({ name, healthy, reason, checks: count, sinceSetMs: performance.now() - setAt });
  });
  return async (request: Request): Promise<unknown> => {
    switch (request.call) {
      case "set":
        setAt = performance.now();
        checks.set(
          request.backends.map(({ name, address, port, kind, rise, fall, ...more }) => ({
            key: name,
            backend: { name, address: parseAddress(address), port },
            check: {
              check: kind,
              port: more.checkPort ?? null,
              send: more.payload ?? "",
              expect: more.expect ?? null,
              interval: more.intervalMs / 1000,
              timeout: more.timeoutMs / 1000,
              rise,
              fall,
            },
          })),
          request.steered,
        );
        return true;
      case "status":
        return Object.fromEntries(checks.status());
      case "openFiles":
        return openFiles();
      case "dispose":
        await checks[Symbol.asyncDispose]();
        // What goes on in the background would be heard of now.
        await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
        return openFiles();
    }
  };
}

if (import.meta.main) await main();
