/**
 * The running process of a handover: starts the new one, gives it everything, and takes it back where the new one does
 * not get on with it.
 *
 * @module
 */
import { messageOf, SteerError } from "../../errors.ts";
import { Channel } from "../../ffi/channel.ts";
import { closeFd, openSocketPair, rcuGracePeriod } from "../../ffi/libc.ts";
import { withStandardInput } from "../../ffi/process.ts";
import { logger } from "../../log.ts";
import { roundMs } from "../../text.ts";
import { VERSION } from "../../version.ts";
import type { Appliance } from "../appliance.ts";
import {
  decode,
  Descriptors,
  encode,
  type Estate,
  type FromGiver,
  type FromTaker,
  type Handover,
  HANDOVER_VARIABLE,
  type Handovers,
  PROTOCOL,
  type Successor,
} from "./estate.ts";

/** The new process. */
export type Child = Pick<Deno.ChildProcess, "kill" | "pid" | "status">;

export interface GiverOptions {
  readonly appliance: Appliance;
  /** Starts it, with these variables more. Its standard input is ours. */
  readonly start: (variables: Readonly<Record<string, string>>) => Child;
  /** The configuration in force. */
  readonly config: () => unknown;
  /** Descriptor of the lock of the control socket, -1: none. */
  readonly lock: () => number;
  /** Leaves the control socket, and answers there again where the new process does not. */
  readonly leave: () => Promise<void>;
  readonly comeBack: () => Promise<void>;
  /** Is told who the main process is. */
  readonly isMain: (pid: number) => void;
  /** Counters that this process keeps for itself. */
  readonly carried: () => Handovers["carried"];
  /** Why this is no moment for it; "" where it is one. */
  readonly obstacle: () => string;
}

/** The new process has to be there in this time: it may have to unpack itself on a slow disk. */
const START_MS = 20_000;

/** For a handover that is given up. */
const STOP_MS = 500;

/** In which an answer is on its way. */
const ANSWER_MS = 10;

const STOPPING = "the running one has been told to stop";

const log = logger("handover");

export class Giver {
  /** Resolves when a new process has taken over. */
  readonly over: Promise<number>;
  readonly #end: (pid: number) => void;
  readonly #stopping = new AbortController();
  #isBusy = false;
  /** The handover that is under way, or the last one. */
  #turn: Promise<void> = Promise.resolve();
  /** Until it has taken over. */
  #child: Child | undefined;
  #last: Handover | null;
  readonly #counts: Record<Handover["result"], number>;
  readonly #carried: ReadonlyMap<string, number>;

  /** @param before What there has been before this process. */
  constructor(private readonly options: GiverOptions, before?: Handovers) {
    this.#last = before?.last ?? null;
    this.#carried = new Map(before?.carried);
    this.#counts = { ...before?.counts ?? { adopted: 0, done: 0, refused: 0, rolled_back: 0 } };
    const { promise, resolve } = Promise.withResolvers<number>();
    this.over = promise;
    this.#end = resolve;
  }

  get last(): Handover | null {
    return this.#last;
  }

  get counts(): Readonly<Record<Handover["result"], number>> {
    return this.#counts;
  }

  /** For the metrics. */
  get past(): { readonly handovers: Handovers["counts"]; readonly carried: ReadonlyMap<string, number> } {
    return { handovers: this.#counts, carried: this.#carried };
  }

  /**
   * Hands over to the program that is on disk.
   *
   * @param withinMs In which the new process has to be healthy, once the first worker has changed hands.
   * @param successor What that is to put in force; undefined: what the file holds by then.
   * @returns when its packets are the new process's; it has the control socket a moment later.
   * @throws {SteerError} where this process goes on.
   */
  async handOver(withinMs: number, successor?: Successor): Promise<Handover> {
    if (this.#isBusy) throw new SteerError("A handover is under way already", { hint: "wait for it" });
    this.#isBusy = true;
    const healthy = Promise.withResolvers<Handover>();
    const turn = this.options.appliance.queue.run(() => this.#run(withinMs, successor, healthy.resolve));
    this.#turn = turn.then(() => {}, healthy.reject).finally(() => this.#isBusy = false);
    return await healthy.promise;
  }

  /**
   * Gives up a handover that is under way, if one is, and takes back what the new process has of it: this one is to
   * stop, and a process that nobody looks after is not to stay behind. Takes {@linkcode STOP_MS} at most.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    kill(this.#child); // which ends each wait for it
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, STOP_MS);
    await Promise.race([this.#turn, late.promise]);
    clearTimeout(timer);
  }

  async #run(
    withinMs: number,
    successor: Successor | undefined,
    healthy: (handover: Handover) => void,
  ): Promise<void> {
    const { appliance, start, leave, isMain } = this.options;
    const { signal } = this.#stopping;
    if (signal.aborted) throw new SteerError(STOPPING);
    requirePossible();
    const obstacle = this.options.obstacle();
    if (obstacle !== "") {
      throw new SteerError(obstacle, { hint: "xdpsteer confirm keeps it; or wait until it is over" });
    }
    const descriptors = new Descriptors();
    const estate = await this.#estate(descriptors, successor);
    const [mine, theirs] = openSocketPair();
    const channel = new Channel(mine);
    let child: Child | undefined;
    let hasBegun = false;
    let hasLeft = false;
    const begun = { time: new Date().toISOString() };
    try {
      try {
        if (signal.aborted) throw new SteerError(STOPPING);
        child = this.#child = withStandardInput(theirs, () => start({ [HANDOVER_VARIABLE]: "1" }));
      } finally {
        closeFd(theirs);
      }
      send(channel, { type: "estate", estate }, descriptors.fds);
      const { found: { others }, fds } = await expect(channel, "ready", START_MS);
      let gapsMs: readonly number[] | undefined;
      try {
        appliance.paused = true;
        hasBegun = true;
        if (others === undefined) await this.#pass(estate.appliance.workers.process + 1, fds, withinMs);
        else await this.#giveUp(channel, others.leaving, withinMs);
        send(channel, { type: "taken", departed: others && appliance.departed() });
        gapsMs = (await expect(channel, "healthy", withinMs)).found.gapsMs?.map(roundMs);
      } finally {
        for (const fd of fds) closeFd(fd);
      }
      gapsMs ??= this.#gaps();
      const handover: Handover = { ...begun, result: "done", pid: child.pid, gapsMs, reason: "" };
      this.#last = handover;
      log.info("Process {pid} has the packets: nobody looked at the rings for at most {gapMs} ms", {
        pid: child.pid,
        gapMs: Math.max(...gapsMs),
        gapsMs,
      });
      healthy(handover);
      hasLeft = true;
      await new Promise((resolve) => setTimeout(resolve, ANSWER_MS)); // whoever asked is told before the socket goes
      await leave();
      isMain(child.pid);
      const counts = { ...this.#counts, done: this.#counts.done + 1 };
      const redirectErrors = appliance.interfaces.map((steered) => [...steered.redirectErrors()]);
      send(channel, {
        type: "serve",
        handovers: { counts, last: handover, carried: this.options.carried(), redirectErrors },
      });
      await expect(channel, "serving", START_MS);
      this.#child = undefined;
      this.#end(child.pid);
    } catch (error) {
      throw await this.#rollBack(error, { ...begun, child, hasBegun, hasLeft });
    } finally {
      await channel.close();
    }
  }

  async #estate(descriptors: Descriptors, successor: Successor | undefined): Promise<Estate> {
    const { appliance, config, lock } = this.options;
    return {
      protocol: PROTOCOL,
      version: VERSION,
      pid: Deno.pid,
      config: config(),
      successor: successor ?? null,
      lock: descriptors.add(lock()),
      appliance: await appliance.handOver(descriptors.add),
    };
  }

  async #pass(process: number, wakeFds: readonly number[], withinMs: number): Promise<void> {
    const { workers } = this.options.appliance;
    wakeFds.forEach((fd, worker) => workers.control.setPeer(worker, fd));
    const passed = await workers.pass(process, withinMs, this.#stopping.signal);
    if (!passed) throw new SteerError(`a worker has not changed hands within ${withinMs / 1000} s`);
  }

  /** Where the new process's workers are others: theirs are the packets from now on, and these here finish theirs. */
  async #giveUp(channel: Channel, leaving: readonly number[], withinMs: number): Promise<void> {
    const { appliance } = this.options;
    appliance.leaveInterfaces(leaving);
    send(channel, { type: "link" });
    await expect(channel, "linked", withinMs);
    await rcuGracePeriod(); // the last packets for the old workers are in their rings now
    if (await appliance.workers.giveUp(withinMs)) return;
    throw new SteerError(`a worker has not finished within ${withinMs / 1000} s`);
  }

  #gaps(): number[] {
    const { workers } = this.options.appliance;
    return Array.from({ length: workers.count }, (_, worker) => roundMs(workers.ownership.gapMs(worker)));
  }

  /** Ends the new process, and takes back what it has. @returns what to tell whoever asked. */
  async #rollBack(
    error: unknown,
    { time, child, hasBegun, hasLeft }: {
      readonly time: string;
      readonly child: Child | undefined;
      readonly hasBegun: boolean;
      readonly hasLeft: boolean;
    },
  ): Promise<SteerError> {
    const { appliance, comeBack, isMain } = this.options;
    const isStopping = this.#stopping.signal.aborted;
    const reason = isStopping ? STOPPING : messageOf(error);
    const hint = !isStopping && error instanceof SteerError ? error.hint : undefined;
    const result = hasBegun ? "rolled_back" : "refused";
    kill(child); // it must not touch anything any more
    await child?.status;
    this.#child = undefined;
    if (hasBegun) await appliance.takeBack();
    if (hasLeft) {
      isMain(Deno.pid);
      if (!isStopping) await comeBack();
    }
    this.#counts[result]++;
    this.#last = { time, result, pid: child?.pid ?? 0, gapsMs: hasBegun ? this.#gaps() : [], reason };
    if (isStopping) {
      log.info("The handover is given up: {reason}", { reason, result });
      return new SteerError(`The new process did not take over: ${reason}`);
    }
    log.error("The handover failed, this process goes on: {reason}", {
      reason,
      result,
      ...(hint === undefined ? {} : { hint }),
    });
    return new SteerError(`The new process did not take over: ${reason}; the running one goes on`, {
      cause: error,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

function kill(child: Child | undefined): void {
  try {
    child?.kill("SIGKILL");
  } catch {
    // It has ended.
  }
}

/** @throws {SteerError} for what no new process could take over. */
function requirePossible(): void {
  if (Deno.pid === 1) {
    throw new SteerError("This process is the first of its container, which would end with it", {
      hint: "start another container with the new version, and end this one",
    });
  }
}

function send(channel: Channel, message: FromGiver, fds: readonly number[] = []): void {
  channel.send(encode(message), fds);
}

/** Waits for a message of the new process. @throws {SteerError} for another one, or none. */
async function expect<Type extends FromTaker["type"]>(
  channel: Channel,
  type: Type,
  limitMs: number,
): Promise<{ readonly found: Extract<FromTaker, { readonly type: Type }>; readonly fds: readonly number[] }> {
  const start = performance.now();
  const message = await channel.receive(limitMs);
  if (message === undefined) {
    const isLate = performance.now() - start >= limitMs;
    throw new SteerError(isLate ? `it has not said "${type}" for ${limitMs / 1000} s` : "it has ended");
  }
  const found = decode(message.text) as FromTaker;
  if (found.type === type) {
    return { found: found as Extract<FromTaker, { readonly type: Type }>, fds: message.fds };
  }
  for (const fd of message.fds) closeFd(fd);
  if (found.type !== "failed") throw new SteerError(`it says "${found.type}": expected "${type}"`);
  throw new SteerError(found.message, found.hint === undefined ? {} : { hint: found.hint });
}
