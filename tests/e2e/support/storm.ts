/**
 * What goes wrong on a bad day, all at once, beside steady traffic.
 *
 * @module
 */
import type { ProblemKind } from "../../../src/observe/problems/kinds.ts";
import type { TestNetwork } from "../../support/netns.ts";
import type { Appliance, ProblemsAnswer } from "./appliance.ts";
import { badConfigs } from "./bad_configs.ts";
import { makeFifo } from "./command.ts";
import { flood, sendAndLeave } from "./http_clients.ts";
import { PATIENCE_MS, sleep, until } from "./wait.ts";

const METRICS = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

/** Reads standard input for a second, not in the next, and so on: the pipe it reads from is full meanwhile. */
const SLOW_READER = `
import os, sys, time
start = time.monotonic()
while True:
    if (time.monotonic() - start) % 2 >= 1: time.sleep(0.05); continue
    data = os.read(0, 65536)
    if not data: break
    os.write(1, data)
`;

/** The words before a command whose standard error is read half of the time only. */
export function readHalfOfTheTime(): string[] {
  const reader = `exec /usr/bin/python3 -c "$READER" >&2`;
  return ["env", `READER=${SLOW_READER}`, "bash", "-c", `exec "$@" 2> >(${reader})`, "bash"];
}

/** Runs until it is told to stop. */
export class Endless implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(round: (number: number) => Promise<unknown>) {
    this.#running = (async () => {
      for (let number = 0; !this.#stop.signal.aborted; number++) await round(number);
    })();
    this.#running.catch(() => {}); // thrown by the end
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

/** Clients that pipeline and never read, and some that ask for much and leave. */
export function hostileClients(network: TestNetwork, port: number): Endless {
  return new Endless(async (round) => {
    if (round % 2 === 1) await flood(network, { to: port, count: 8, request: METRICS, times: 10_000 });
    else await sendAndLeave(network, { to: port, request: METRICS, times: 20_000 });
    await sleep(100);
  });
}

/** How a file is broken: what it holds, or what is done in its place. */
type Breakage = string | Uint8Array | ((path: string) => Promise<unknown>);

function breakages(good: string): Breakage[] {
  const inPlace = (make: (path: string) => Promise<unknown>): Breakage => async (path) => {
    await Deno.remove(path, { recursive: true });
    await make(path);
  };
  return [
    ...badConfigs(good).map(({ content }) => content),
    '"'.repeat(1_000_000),
    good.slice(0, -20),
    inPlace(makeFifo),
    inPlace((path) => Deno.mkdir(path)),
    inPlace((path) => Deno.symlink("/nowhere", path)),
    inPlace(() => Promise.resolve()),
  ];
}

/** Puts a file in its place, whatever is there. */
async function replace(path: string, content: string | Uint8Array): Promise<void> {
  await Deno.writeFile(`${path}.next`, typeof content === "string" ? new TextEncoder().encode(content) : content);
  if ((await Deno.lstat(path).catch(() => undefined))?.isDirectory) await Deno.remove(path);
  await Deno.rename(`${path}.next`, path);
}

/**
 * Saves a configuration broken in every way, one a second, and puts the good one back for two seconds after each third.
 */
export class Saves implements AsyncDisposable {
  broken = 0;
  /** What the beginnings and the ends of the refusals took to be told, in milliseconds. */
  readonly beginMs: number[] = [];
  readonly endMs: number[] = [];
  readonly #endless: Endless;
  #waiting: Promise<void> = Promise.resolve();

  constructor(private readonly box: Appliance, private readonly good: string) {
    const { configFile: path } = box;
    const ways = breakages(good);
    this.#endless = new Endless(async (round) => {
      const turn = round % 5;
      if (turn === 3) await this.#change(this.endMs, false, () => replace(path, good));
      else if (turn < 3) {
        const way = ways[this.broken++ % ways.length]!;
        const save = async (): Promise<void> => {
          if (typeof way === "function") {
            await replace(path, good);
            await way(path);
          } else if (round % 2 === 0) await replace(path, way);
          else {
            const bytes = typeof way === "string" ? new TextEncoder().encode(way) : way;
            await Deno.writeFile(path, bytes).catch(() => {});
          }
        };
        if (turn === 0) await this.#change(this.beginMs, true, save);
        else await save();
      }
      await sleep(1000);
    });
  }

  /** Saves, and takes the time until it is told that the file is refused, or no more. */
  async #change(times: number[], isRefused: boolean, save: () => Promise<void>): Promise<void> {
    await this.#waiting;
    await save();
    const began = performance.now();
    const describe = (): unknown => this.box.stderr.slice(-2000);
    const isSo = async (): Promise<boolean> => (await tellsOf(this.box, "config_refused"))?.isListed === isRefused;
    this.#waiting = until(`a file to be ${isRefused ? "refused" : "taken"}`, isSo, { describe })
      .then(() => void times.push(Math.round(performance.now() - began)));
    this.#waiting.catch(() => {}); // awaited before the next
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endless[Symbol.asyncDispose]();
    await this.#waiting;
    await replace(this.box.configFile, this.good);
  }
}

/** What the list of problems says of a kind; undefined where a crowded server has turned the question away. */
async function tellsOf(
  box: Appliance,
  kind: ProblemKind,
): Promise<{ readonly isListed: boolean; readonly ended: number } | undefined> {
  const answer = await box.request("GET", "/v1/problems").catch(() => undefined);
  if (answer?.code !== 200) return undefined;
  const { problems, endedProblems } = JSON.parse(answer.body) as ProblemsAnswer;
  const ended = endedProblems.filter((each) => each.kind === kind).reduce((sum, { times }) => sum + times, 0);
  return { isListed: problems.some((each) => each.kind === kind), ended };
}

/** What a trouble's beginning and end took to be told, in milliseconds. */
export interface Told {
  readonly kind: ProblemKind;
  readonly beginMs: number;
  readonly endMs: number;
  /** The same for the end of what came of it. */
  readonly lossEndMs?: number;
}

/**
 * Has trouble for a while, and sees that it is told, if only as one that has ended by now, and that its end is.
 *
 * @param loss What comes of it, and ends with it.
 */
export async function trouble(
  box: Appliance,
  kind: ProblemKind,
  begin: () => Promise<(() => Promise<unknown>) | undefined>,
  loss?: ProblemKind,
): Promise<Told> {
  const before = (await until("an answer", () => tellsOf(box, kind))).ended;
  const isTold = async (): Promise<boolean> => {
    const answer = await tellsOf(box, kind);
    return answer !== undefined && (answer.isListed || answer.ended > before);
  };
  const describe = (): unknown => box.stderr.slice(-2000);
  const end = await begin();
  const began = performance.now();
  await until(`${kind} to be told`, isTold, { describe, limitMs: PATIENCE_MS });
  const beginMs = performance.now() - began;
  await end?.();
  const ended = performance.now();
  const untilOver = async (of: ProblemKind): Promise<number> => {
    await until(`the end of ${of}`, async () => (await tellsOf(box, of))?.isListed === false, { describe });
    return Math.round(performance.now() - ended);
  };
  const told = { kind, beginMs: Math.round(beginMs), endMs: await untilOver(kind) };
  return loss === undefined ? told : { ...told, lossEndMs: await untilOver(loss) };
}
