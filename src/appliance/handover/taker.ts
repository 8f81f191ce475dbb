/**
 * The new process of a handover: takes over from the process that has started it, which is at the other end of its
 * standard input.
 *
 * @module
 */
import type { LoadedConfig } from "../../config/load.ts";
import type { Config } from "../../config/schema.ts";
import { messageOf, SteerError } from "../../errors.ts";
import { Channel } from "../../ffi/channel.ts";
import { closeFd, monotonicMicroseconds } from "../../ffi/libc.ts";
import { peerOf, takeStandardInput } from "../../ffi/process.ts";
import { pause } from "../../ffi/async_poll.ts";
import type { Appliance } from "../appliance.ts";
import { logger } from "../../log.ts";
import { requireHanded } from "../fixed.ts";
import { asJson, handedFor } from "./handed.ts";
import {
  decode,
  encode,
  type Estate,
  type FromGiver,
  type FromTaker,
  type HandedAppliance,
  HANDOVER_VARIABLE,
  type Handovers,
  PROTOCOL,
  withDescriptors,
} from "./estate.ts";

/** Longer than whoever started this one waits for anything. */
const LONG_MS = 600_000;
const STEP_MS = 1;
/** In which each worker has to turn once more. */
const TURN_MS = 10_000;

/** For tests: at which step this process is to fail, and how. The launcher takes it away. */
const FAILURE_VARIABLE = "XDPSTEER_TEST_HANDOVER";
/** In which order the steps are: half is when some workers' ends have changed hands, and others' have not. */
export const STEPS = ["start", "adopted", "half", "taken", "linked", "healthy", "serve", "serving"] as const;
export const FAILURES = ["kill", "hang", "fail"] as const;

export function failAt(step: typeof STEPS[number]): void {
  const [at, how] = Deno.env.get(FAILURE_VARIABLE)?.split(" ") ?? [];
  if (at !== step) return;
  if (how === "fail") throw new SteerError(`It was told to fail at step "${step}"`);
  Deno.kill(Deno.pid, how === "hang" ? "SIGSTOP" : "SIGKILL");
}

const log = logger("handover");

export class Taker {
  readonly #channel: Channel;
  #isOver = false;

  private constructor(channel: Channel, readonly estate: Estate) {
    this.#channel = channel;
  }

  /**
   * Asks the process that has started this one what it gives; undefined for an ordinary start.
   *
   * @throws {SteerError} where nobody is there, or it is of another version of all this.
   */
  static async fromEnvironment(): Promise<Taker | undefined> {
    if (Deno.env.get(HANDOVER_VARIABLE) === undefined) return undefined;
    Deno.env.delete(HANDOVER_VARIABLE);
    const peer = peerOf(0);
    if (peer === undefined || peer.pid !== Deno.ppid || peer.uid !== Deno.uid()) {
      throw new SteerError(`${HANDOVER_VARIABLE} is set, and standard input is no connection to a running xdpsteer`, {
        hint: "it is set by a running xdpsteer only: xdpsteer upgrade asks it to start another one",
      });
    }
    const channel = new Channel(takeStandardInput());
    const message = await channel.receive(LONG_MS);
    if (message === undefined) throw new SteerError("The process that is to hand over has ended");
    const { type, estate } = decode(message.text) as FromGiver & { type: "estate" };
    if (type !== "estate" || estate.protocol !== PROTOCOL) {
      for (const fd of message.fds) closeFd(fd);
      const error = new SteerError(`The running xdpsteer speaks protocol ${estate?.protocol}, this one ${PROTOCOL}`, {
        hint: "a restart takes it over",
      });
      const taker = new Taker(channel, estate);
      taker.fail(error);
      throw error;
    }
    failAt("start");
    return new Taker(channel, withDescriptors(estate, message.fds));
  }

  /**
   * What this process is to put in force; undefined: what the file holds.
   *
   * @throws {ConfigError} with all that is wrong with it.
   */
  async configured(cpuCount: number): Promise<LoadedConfig | undefined> {
    const { successor } = this.estate;
    if (successor === null || successor === undefined) return undefined; // versions before send none
    const { content, name, unfiled } = successor;
    const { parseConfig } = await import("../../config/parse.ts"); // loaded when first used
    return { config: parseConfig(content, { file: name, cpuCount }), content, unfiled: unfiled ?? undefined };
  }

  /**
   * @throws {SteerError} where the configuration of this process changes what is given as it is.
   */
  requireFixed(config: Config): void {
    requireHanded(asJson(config), this.estate.config as Config);
  }

  /** What is given to an appliance with a configuration. */
  handedFor(config: Config): HandedAppliance {
    return handedFor(config, this.estate);
  }

  /** Tells that it does not work: the other process goes on. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const hint = error instanceof SteerError ? error.hint : undefined;
    try {
      this.#send({ type: "failed", message: messageOf(error), hint });
    } catch {
      // It has ended, or knows already.
    }
  }

  /**
   * Takes the workers' ends over, then the links. Packets are this process's when it returns.
   *
   * @throws {SteerError} where the other process does not let go of them.
   */
  async take(appliance: Appliance): Promise<void> {
    const { workers } = appliance;
    failAt("adopted");
    await workers.passed(); // they have made ready all that can be, and have the tables in force
    if (appliance.isOther) return await this.#takeAll(appliance);
    this.#send({ type: "ready" }, workers.wakeFds);
    if (Deno.env.get(FAILURE_VARIABLE)?.startsWith("half")) {
      while (workers.ownership.owner(0) !== workers.process) await pause(STEP_MS);
      failAt("half");
    }
    await this.#expect("taken");
    failAt("taken");
    appliance.takeLinks();
    failAt("linked");
    await this.#untilTurned(appliance);
    this.#send({ type: "healthy" });
    failAt("healthy");
  }

  /** The same where workers are others: packets are for these first, which begin when all of the old ones are done. */
  async #takeAll(appliance: Appliance): Promise<void> {
    const { workers } = appliance;
    const leaving = appliance.notSteered(this.estate.appliance.interfaces);
    this.#send({ type: "ready", others: { leaving } }, workers.wakeFds);
    await this.#expect("link");
    appliance.takeLinks();
    const linkedMs = Number(monotonicMicroseconds()) / 1000;
    failAt("linked");
    this.#send({ type: "linked" });
    const { departed = [] } = await this.#expect("taken") as FromGiver & { type: "taken" };
    failAt("taken");
    const { kept, lost } = await appliance.takeAll(departed, TURN_MS);
    failAt("half");
    await this.#untilTurned(appliance);
    if (kept + lost > 0) {
      log.info("{kept} sessions go on with these workers, and {lost} have no place or no port any more", {
        kept,
        lost,
      });
    }
    this.#send({ type: "healthy", gapsMs: workers.gapsSince(linkedMs) });
    failAt("healthy");
  }

  async #untilTurned({ workers }: Appliance): Promise<void> {
    const before = workers.counters.map((counters) => counters.loop("turns"));
    const end = performance.now() + TURN_MS;
    while (workers.counters.some((counters, worker) => counters.loop("turns") === before[worker])) {
      if (performance.now() > end) throw new SteerError("A worker does not turn");
      workers.wake();
      await pause(STEP_MS);
    }
  }

  /** Waits until the control socket is free. @returns What handovers there have been. */
  async mayServe(): Promise<Handovers> {
    const { handovers } = await this.#expect("serve") as FromGiver & { type: "serve" };
    failAt("serve");
    return handovers;
  }

  /** Tells that it is complete: the other process ends. */
  async done(): Promise<void> {
    failAt("serving");
    this.#send({ type: "serving" });
    this.#isOver = true;
    await this.#channel.close();
  }

  async #expect(type: FromGiver["type"]): Promise<FromGiver> {
    const message = await this.#channel.receive(LONG_MS);
    if (message === undefined) throw new SteerError("The process that is to hand over has ended");
    const found = decode(message.text) as FromGiver;
    if (found.type === type) return found;
    throw new SteerError(`The process that hands over says "${found.type}": expected "${type}"`);
  }

  #send(message: FromTaker, fds: readonly number[] = []): void {
    this.#channel.send(encode(message), fds);
  }
}
