/**
 * Live change: a new configuration is checked whole, then put in force as one flip, or refused and nothing changes.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { LastGood } from "../config/last_good.ts";
import type { LoadedConfig, RefusedFile } from "../config/load.ts";
import type { ConfigMemo } from "../config/memo.ts";
import { recheck } from "../config/parse.ts";
import type { Saving } from "../config/save.ts";
import type { Config } from "../config/schema.ts";
import { EXIT, messageOf, SteerError } from "../errors.ts";
import { logger } from "../log.ts";
import type { ChangeQueue } from "../engine/change_queue.ts";
import { diffAddresses, diffRules } from "../steering/diff.ts";
import type { Rule } from "../steering/rule.ts";
import type { ServiceManager } from "../host/service_manager.ts";
import { pause, SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import type { Appliance } from "./appliance.ts";
import type { Check } from "./checker.ts";
import { requireFixed } from "./fixed.ts";
import { type FileContent, type Found, identityOf, readFound } from "./found_file.ts";
import type { Applied, Steering } from "./steering.ts";

/** Configurations offered since the start, by what became of them. */
export interface ReloadCounts {
  applied: number;
  unchanged: number;
  refused: number;
}

export interface LastReload {
  readonly time: string;
  readonly result: keyof ReloadCounts;
  /** Why it was refused, or what it changed. */
  readonly message: string;
}

/** What the configuration file has to do with what is in force. */
export interface FileState {
  /** Why it could not be put in force as it is: a restart would fail, or change more. Null where it could. */
  readonly refused: { readonly time: string; readonly message: string } | null;
  /** Path of the last good configuration, where that is in force since the start because the file is refused. */
  readonly lastGood: string | null;
  /** What a restart would undo: rules in force that the file does not have, in words; none where it has them all. */
  readonly unsaved: readonly string[];
}

/** Who asked for a change. */
type Origin = "file" | "request";

/** Under what circumstances a change is made. */
export interface Conditions {
  /** Only while one of these generations is in force; undefined: whichever is. */
  readonly generations?: readonly number[] | undefined;
  /** Checks everything and says what would change, and changes nothing. */
  readonly dryRun?: boolean | undefined;
}

/** A change that was asked for on top of a generation that is not in force. */
export class StaleError extends SteerError {
  constructor(readonly generation: number) {
    super(`Generation ${generation} is in force, and not the one that the change was made for`, {
      hint: "read the configuration again, and make the change in that",
    });
  }
}

/** Between two reads of the file that have to find the same. */
const SETTLE_MS = 200;
/** A file that is never the same twice for so long is not waited for. */
const GIVE_UP_MS = 10_000;
const SLOWLY = "write another file, and rename it to this name when it is complete";
/** With fewer rules, to lose most of them is a change like any other. */
const MIN_RULES_TO_LOSE = 4;

const log = logger("reload");

export interface ReloaderOptions {
  readonly steering: Pick<Steering, "apply" | "captured" | "generation" | "rules">;
  readonly queue: ChangeQueue;
  readonly manager: Pick<ServiceManager, "ready" | "reloading">;
  readonly file: string;
  readonly cpuCount: number;
  readonly check: Check;
  /** What is in force, and what the file held. */
  readonly loaded: LoadedConfig;
  /** Who knows which names an interface has. */
  readonly naming?: Pick<Appliance, "hasName" | "rename"> | undefined;
  /** Both are told what the file holds when it is put in force, for the next start. */
  readonly memo?: Pick<ConfigMemo, "remember"> | undefined;
  readonly lastGood?: Pick<LastGood, "keep"> | undefined;
  readonly timers?: Timers;
}

export class Reloader {
  readonly counts: ReloadCounts = { applied: 0, unchanged: 0, refused: 0 };
  last: LastReload | undefined;
  /** Called with each configuration that has come into force. */
  onApplied: ((config: Config) => void) | undefined;
  #config: Config;
  /**
   * What the file held when it was put in force, or refused for what it holds, so that one save is one reload, and one
   * refusal one line in the log. Undefined after a failure that had another cause: the same content is tried again.
   */
  #seen: FileContent | undefined;
  /** The rules of the file when it was last put in force, or saved. */
  #filed: readonly Rule[];
  #unsaved: readonly string[] = [];
  #refused: FileState["refused"] = null;
  #lastGood: FileState["lastGood"] = null;
  readonly #timers: Timers;
  readonly #options: ReloaderOptions;

  constructor(options: ReloaderOptions) {
    const { loaded: { config, content, instead } } = options;
    this.#options = options;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
    this.#config = config;
    this.#filed = config.steering;
    this.#seen = content;
    if (instead === undefined) this.#keep(content, config);
    else this.#standIn(instead);
  }

  /** The configuration in force. */
  get config(): Config {
    return this.#config;
  }

  get file(): FileState {
    return { refused: this.#refused, lastGood: this.#lastGood, unsaved: this.#unsaved };
  }

  /**
   * Reads the file again and puts it in force, once two reads some time apart have found the same. A file that loses
   * most of its rules is put in force only when it still says so after `control.settle` seconds.
   *
   * @param onlyIfChanged Does nothing when the file holds what it held last time, and that was put in force or refused
   * for what it is.
   * @throws {SteerError} when it is refused; the configuration before stays in force.
   * @throws {StaleError} where the conditions are not met.
   */
  async reloadFile(onlyIfChanged: boolean, conditions: Conditions = {}): Promise<Applied | undefined> {
    const { file } = this.#options;
    const giveUpMs = this.#timers.now() + GIVE_UP_MS;
    let confirmed: FileContent | undefined;
    while (true) {
      const found = readFound(file);
      if (onlyIfChanged && confirmed === undefined && isDeepStrictEqual(found.identity, this.#seen)) return undefined;
      const isLate = this.#timers.now() > giveUpMs;
      await pause(this.#timers, SETTLE_MS);
      const outcome = await this.#inTurn(() => this.#takeOver(found, { onlyIfChanged, conditions, confirmed, isLate }));
      if (outcome === "still changing") continue;
      if (outcome !== "suspicious") return outcome;
      confirmed = found.identity;
      await pause(this.#timers, this.#config.control.settle * 1000);
    }
  }

  /** Puts in force what the file held a moment ago, if it still does. */
  async #takeOver(
    { identity, content, failure }: Found,
    { onlyIfChanged, conditions, confirmed, isLate }: {
      readonly onlyIfChanged: boolean;
      readonly conditions: Conditions;
      readonly confirmed: FileContent | undefined;
      readonly isLate: boolean;
    },
  ): Promise<Applied | undefined | "still changing" | "suspicious"> {
    const { check, file } = this.#options;
    this.#require(conditions);
    if (!isDeepStrictEqual(readFound(file).identity, identity)) {
      if (!isLate) return "still changing";
      const restless = new SteerError(`"${file}" changes all the time`, { hint: SLOWLY });
      if (conditions.dryRun) throw restless;
      return await this.#change("file", () => Promise.reject(restless));
    }
    if (conditions.dryRun) {
      if (content === undefined) throw failure;
      return this.#preview(await check(content, file));
    }
    const isConfirmed = isDeepStrictEqual(confirmed, identity);
    if (onlyIfChanged && !isConfirmed && isDeepStrictEqual(identity, this.#seen)) return undefined;
    this.#seen = identity;
    const checked = Promise.try(() => {
      if (content === undefined) throw failure;
      return check(content, file);
    });
    // What is wrong with the file is told by #change().
    if (!isConfirmed && await checked.then((config) => this.#isSuspicious(config), () => false)) return "suspicious";
    return await this.#change("file", async () => {
      const config = await checked;
      try {
        const applied = await this.#apply(config);
        this.#holds(config.steering);
        this.#keep(content!, config);
        return applied;
      } catch (error) {
        if (!isAboutContent(error)) this.#seen = undefined;
        throw error;
      }
    });
  }

  /** Whether a file that is good loses so many rules that it may be half of what is being written; says so. */
  #isSuspicious(next: Config): boolean {
    const { control: { settle }, steering } = this.#config;
    if (settle === 0 || steering.length < MIN_RULES_TO_LOSE) return false;
    const names = new Set(next.steering.map(({ name }) => name));
    const lost = steering.filter(({ name }) => !names.has(name)).length;
    if (2 * lost <= steering.length) return false;
    log.warn("The file loses {lost} of {rules} rules: it is put in force in {seconds} s if it still says so", {
      lost,
      rules: steering.length,
      seconds: settle,
      hint: "rename a complete file into place, or set control.settle to 0",
    });
    return true;
  }

  /**
   * Checks and applies a configuration that came over the control socket.
   *
   * @throws {StaleError} where the conditions are not met.
   */
  applyText(text: string | Uint8Array, name: string, conditions: Conditions = {}): Promise<Applied> {
    const content = typeof text === "string" ? new TextEncoder().encode(text) : text;
    const { check } = this.#options;
    return this.#inTurn(async () => {
      this.#require(conditions);
      if (conditions.dryRun) return this.#preview(await check(content, name));
      return await this.#change("request", async () => await this.#apply(await check(content, name)));
    });
  }

  /**
   * Puts changed rules in force. To save it, the same change is made in the file first, which then holds what is in
   * force.
   *
   * @param change Given the rules in force and, to save, those of the file.
   * @throws {SteerError} when it is refused, or cannot be saved; then nothing changes, neither here nor there.
   * @throws {StaleError} where the conditions are not met.
   */
  changeRules(
    change: (rules: readonly Rule[]) => Rule[],
    save: boolean,
    conditions: Conditions = {},
  ): Promise<Applied> {
    const { cpuCount, file } = this.#options;
    return this.#inTurn(async () => {
      this.#require(conditions);
      using held = new DisposableStack();
      const plan = async (): Promise<{ readonly next: Config; readonly saving?: Saving }> => {
        const next = recheck({ ...this.#config, steering: change(this.#config.steering) });
        if (!save) return { next };
        const { prepareSave } = await import("../config/save.ts"); // loaded when first used
        return { next, saving: held.use(prepareSave({ file, cpuCount }, next, change)) };
      };
      if (conditions.dryRun) return this.#preview((await plan()).next);
      return await this.#change("request", async () => {
        const { next, saving } = await plan();
        if (saving === undefined) return await this.#apply(next);
        saving.write();
        this.#seen = saving.content;
        try {
          const applied = await this.#apply(next);
          this.#holds(next.steering);
          this.#keep(saving.content, next);
          return applied;
        } catch (error) {
          this.#seen = saving.takeBack();
          throw error;
        }
      });
    });
  }

  /** Neither a change that is asked for too late nor a dry run counts as one that was refused. */
  #require({ generations }: Conditions): void {
    const { generation } = this.#options.steering;
    if (generations !== undefined && !generations.includes(generation)) throw new StaleError(generation);
  }

  /** What a configuration would change. @throws {SteerError} as {@linkcode Reloader.#apply} does. */
  #preview(next: Config): Applied {
    this.#requireFixed(next);
    const { generation, rules } = this.#options.steering;
    const addresses = diffAddresses(this.#config.forwarding.addresses, next.forwarding.addresses);
    return { generation, changes: [...diffRules(rules, next.steering), ...addresses], elapsedMs: 0 };
  }

  /** The file has these rules, and they are in force. */
  #holds(rules: readonly Rule[]): void {
    this.#filed = rules;
    this.#unsaved = [];
    this.#refused = null;
    this.#lastGood = null;
  }

  /** For the next start. */
  #keep(content: Uint8Array, config: Config): void {
    const { cpuCount, memo, lastGood } = this.#options;
    void memo?.remember(content, cpuCount, config);
    void lastGood?.keep(content);
  }

  /** The file is refused since the start: it is told like one that is saved so. */
  #standIn({ content, error, used }: RefusedFile): void {
    this.#seen = identityOf({ content, failure: error });
    this.#lastGood = used;
    this.#refused = { time: this.#timers.date().toISOString(), message: error.message };
    log.error("The configuration is refused, and the last good one is in force, {used}: {reason}", {
      used,
      reason: error.message,
      hint: "fix the file: it is put in force as soon as it is good",
    });
  }

  /** Whatever comes of a change, the service manager hears when it began and when it was over. */
  async #change(origin: Origin, work: () => Promise<Applied>): Promise<Applied> {
    const { manager, steering } = this.#options;
    manager.reloading();
    try {
      return await work();
    } catch (error) {
      throw this.#refuse(error, origin);
    } finally {
      manager.ready(`Generation ${steering.generation} is in force`);
    }
  }

  /** One change at a time. It is over when its captures have begun, which others do not wait for. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const { queue, steering } = this.#options;
    const result = await queue.run(work);
    await steering.captured;
    return result;
  }

  /** @throws {SteerError} for a change that needs a restart. */
  #requireFixed(next: Config): void {
    requireFixed(this.#asNamed(next), this.#config);
  }

  /** The same, where an interface that is steered has another of its names with the name that it is known by. */
  #asNamed(next: Config): Config {
    const { naming } = this.#options;
    const interfaces = next.interfaces.map((each, index) => {
      const known = this.#config.interfaces[index]?.name;
      return known === undefined || !naming?.hasName(index, each.name) ? each : { ...each, name: known };
    });
    return { ...next, interfaces };
  }

  async #apply(next: Config): Promise<Applied> {
    this.#requireFixed(next);
    const { steering } = this.#options;
    const before = steering.generation;
    const applied = await steering.apply(next.steering, { addresses: next.forwarding.addresses });
    this.#config = next;
    next.interfaces.forEach(({ name }, index) => this.#options.naming?.rename(index, name));
    this.#unsaved = isDeepStrictEqual(next.steering, this.#filed) ? [] : diffRules(this.#filed, next.steering);
    const result = applied.generation === before ? "unchanged" : "applied";
    this.#record(result, applied.changes.join("; "));
    if (result === "applied") {
      log.info("Generation {generation} is in force after {elapsedMs} ms: {changes}", {
        generation: applied.generation,
        elapsedMs: Number(applied.elapsedMs.toFixed(1)),
        changes: applied.changes,
      });
      this.onApplied?.(next);
    }
    return applied;
  }

  #refuse(error: unknown, origin: Origin): unknown {
    const message = messageOf(error);
    const { time } = this.#record("refused", message);
    if (origin === "file") this.#refused = { time, message };
    // A request with mistakes is its sender's matter, who is told.
    const level = origin === "request" && error instanceof SteerError ? "warn" : "error";
    log[level]("The new configuration is refused, generation {generation} stays in force: {reason}", {
      generation: this.#options.steering.generation,
      reason: message,
      ...(error instanceof SteerError && error.hint !== undefined ? { hint: error.hint } : {}),
    });
    return error;
  }

  #record(result: keyof ReloadCounts, message: string): LastReload {
    this.counts[result]++;
    const time = this.#timers.date().toISOString();
    return this.last = { time, result, message };
  }
}

/** True where the same content would be refused again: else it may be put in force when what hindered it is over. */
function isAboutContent(error: unknown): boolean {
  return error instanceof SteerError && error.exitCode === EXIT.configInvalid;
}
