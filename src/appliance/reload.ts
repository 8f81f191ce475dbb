/**
 * Live change: a new configuration is checked whole, then put in force as one flip, or refused and nothing changes.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { LastGood } from "../config/last_good.ts";
import type { LoadedConfig, RefusedFile } from "../config/load.ts";
import type { ConfigMemo } from "../config/memo.ts";
import type { Checked } from "../config/check_thread.ts";
import { recheck } from "../config/parse.ts";
import type { Saving } from "../config/save.ts";
import type { Config } from "../config/schema.ts";
import { ruleWarnings } from "../config/warnings.ts";
import { EXIT, messageOf, SteerError } from "../errors.ts";
import { logger } from "../log.ts";
import type { ChangeQueue } from "../engine/change_queue.ts";
import { diffRules } from "../steering/diff.ts";
import type { Rule } from "../steering/rule.ts";
import { collectLeftovers } from "../ffi/garbage.ts";
import type { ServiceManager } from "../host/service_manager.ts";
import { pause, SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import type { Appliance } from "./appliance.ts";
import type { Handover, Successor } from "./handover/estate.ts";
import type { Check } from "./checker.ts";
import { type Difference, liveDifference } from "./difference.ts";
import { fixedDifference, requireHanded, requireOfFile } from "./fixed.ts";
import { type FileContent, type Found, identityOf, readFound } from "./found_file.ts";
import {
  type Asker,
  type Conditions,
  type FileState,
  type LastReload,
  NOT_CONFIRMED,
  type PutBy,
  type ReloadCounts,
  type Reloaded,
  StaleError,
  UnconfirmedError,
} from "./reload_types.ts";
import { lossOf, Patience, type Settling } from "./saved_file.ts";
import type { Steering } from "./steering.ts";
import { firstOf } from "../text.ts";
import { toldRefusal } from "./told_refusal.ts";
import { type Confirmed, Unconfirmed } from "./unconfirmed.ts";

/** Who asked for a change. */
type Origin = "file" | "request";

/** Between two looks at the file while it is checked. */
const LOOK_MS = 200;
/** Why a check has ended: the file holds something else by now. */
const CHANGED = Symbol("changed");
const SLOWLY = "write another file, and rename it to this name when it is complete";

/** Characters of a list of changes in the log; whoever has asked gets all of it. */
const LOGGED_LENGTH = 2000;

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
  /** Has a process with another configuration take over; undefined: none can. */
  readonly handOver?: ((successor: Successor) => Promise<Handover>) | undefined;
  readonly timers?: Timers;
}

/** A good configuration that another process is to put in force, since this one cannot. */
interface ForAnother {
  readonly successor: Successor;
  readonly next: Checked;
  readonly origin: Origin;
}

export class Reloader {
  readonly counts: ReloadCounts = { applied: 0, unchanged: 0, refused: 0 };
  last: LastReload | undefined;
  /** Called with each configuration that has come into force. Returns what of the machine does not fit it. */
  onApplied: ((config: Config) => readonly string[]) | undefined;
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
  #settling: Settling | null = null;
  /** Of the watch, while it waits for the file to stand still: one is enough. */
  #watching: Patience | undefined;
  #putBy: PutBy = "start";
  #put: { readonly date: Date; readonly atMs: number };
  readonly #timers: Timers;
  readonly #options: ReloaderOptions;
  readonly #unconfirmed: Unconfirmed;
  /** What is to be saved of the changes that wait to be confirmed. */
  #saveLater: ((rules: readonly Rule[]) => Rule[]) | undefined;
  /** The file was saved while a change waited. */
  #isSaveHeld = false;

  constructor(options: ReloaderOptions) {
    const { loaded: { config, content, instead, unfiled } } = options;
    this.#options = options;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
    this.#unconfirmed = new Unconfirmed(this.#timers);
    this.#put = { date: this.#timers.date(), atMs: this.#timers.now() };
    this.#config = config;
    this.#filed = unfiled?.rules ?? config.steering;
    this.#seen = unfiled === undefined ? content : unfiled.seen;
    this.#unsaved = unsavedOf(this.#filed, config.steering);
    if (instead !== undefined) this.#standIn(instead);
    else if (unfiled === undefined) this.#keep(content, config);
  }

  /** The configuration in force. */
  get config(): Config {
    return this.#config;
  }

  get file(): FileState {
    const { lost = 0, rules = 0, untilMs = 0 } = this.#settling ?? {};
    const secondsLeft = Math.max(0, Math.ceil((untilMs - this.#timers.now()) / 1000));
    const settling = this.#settling === null ? null : { lost, rules, secondsLeft };
    const unconfirmed = this.#unconfirmed.state;
    return { refused: this.#refused, lastGood: this.#lastGood, settling, unsaved: this.#unsaved, unconfirmed };
  }

  /**
   * Keeps what waits for a confirmation, and saves it where that was asked for.
   *
   * @throws {SteerError} where nothing waits.
   */
  async confirm(): Promise<Confirmed> {
    const confirmed = await this.#inTurn(() => this.#unconfirmed.confirm());
    this.#lookAgain();
    return confirmed;
  }

  /** Nothing is taken back any more: this process ends. */
  [Symbol.dispose](): void {
    this.#unconfirmed[Symbol.dispose]();
  }

  /**
   * Reads the file again and puts it in force, once two reads some time apart have found the same; one that is saved
   * without a pause, after some seconds as it is then. For the watch, which reads nothing that was put in force or
   * refused for what it is, a file that loses most of its rules counts only when it still does so after
   * `control.settle` seconds.
   *
   * @throws {SteerError} when it is refused; the configuration before stays in force.
   * @throws {StaleError} where the conditions are not met.
   */
  async reloadFile(asker: Asker, conditions: Conditions = {}): Promise<Reloaded | undefined> {
    const isWatch = asker === "watch";
    if (asker === "reload") this.#require(conditions);
    else if (this.#holdsSave(asker)) return undefined;
    if (isWatch && this.#watching !== undefined) return undefined; // it will find what the file holds by then
    let patience = new Patience(this.#timers);
    let confirmed: FileContent | undefined;
    try {
      while (true) {
        if (isWatch) this.#watching = patience;
        const found = readFound(this.#options.file);
        if (isWatch && confirmed === undefined && isDeepStrictEqual(found.identity, this.#seen)) return undefined;
        await pause(this.#timers, patience.stillMs);
        const outcome = await this.#inTurn(() => this.#takeOver(found, { asker, conditions, confirmed, patience }));
        if (outcome === "still changing") continue;
        if (outcome === "changed since") {
          patience = new Patience(this.#timers, false);
          continue;
        }
        if (outcome !== "suspicious" && outcome !== undefined && "successor" in outcome) {
          return await this.#handOver(outcome);
        }
        const settling = this.#settling;
        if (outcome !== "suspicious" || settling === null) return outcome as Reloaded | undefined;
        await pause(this.#timers, settling.untilMs - this.#timers.now());
        if (this.#settling !== settling) return undefined; // the file has been saved, or was put in force, since
        confirmed = found.identity;
        patience = new Patience(this.#timers);
      }
    } finally {
      if (this.#watching === patience) this.#watching = undefined;
    }
  }

  /** Puts in force what the file held a moment ago, if it still does. */
  async #takeOver(
    before: Found,
    { asker, conditions, confirmed, patience }: {
      readonly asker: Asker;
      readonly conditions: Conditions;
      readonly confirmed: FileContent | undefined;
      readonly patience: Patience;
    },
  ): Promise<Reloaded | ForAnother | undefined | "still changing" | "changed since" | "suspicious"> {
    const { check, file } = this.#options;
    if (asker !== "reload" && this.#holdsSave(asker)) return undefined;
    this.#require(conditions);
    const { identity, content, failure } = readFound(file);
    const isStill = isDeepStrictEqual(before.identity, identity);
    if (!isStill && !patience.isLate) return "still changing";
    if (this.#watching === patience) this.#watching = undefined; // whatever is saved from now on is another save
    const checked = async (): Promise<Checked> => {
      if (content === undefined) throw failure;
      // Whoever has saved another file is not to wait for the check of one that is not there any more.
      const changed = new AbortController();
      using _look = this.#timers.every(LOOK_MS, () => {
        if (patience.mayEndCheck && !isDeepStrictEqual(readFound(file).identity, identity)) changed.abort(CHANGED);
      });
      try {
        return await check(content, file, changed.signal);
      } catch (error) {
        if (isStill || error === CHANGED) throw error;
        throw new SteerError(`"${file}" changes all the time, and is refused as it is now: ${messageOf(error)}`, {
          hint: SLOWLY,
        });
      }
    };
    if (conditions.dryRun) {
      const next = await checked().catch(orChanged);
      return next === CHANGED ? "changed since" : this.#preview(next);
    }
    // One that is never the same cannot be the same as it was before it had to settle.
    const isConfirmed = confirmed !== undefined && (patience.isRestless || isDeepStrictEqual(confirmed, identity));
    if (asker === "watch" && !isConfirmed && isDeepStrictEqual(identity, this.#seen)) return undefined;
    this.#seen = identity;
    this.#settling = null;
    const next = checked();
    if (await next.catch(orChanged).catch(() => {}) === CHANGED) {
      this.#seen = undefined;
      return "changed since";
    }
    // What is wrong with the file is told by #change().
    const isHeld = asker === "watch" && !isConfirmed &&
      await next.then(({ config }) => this.#settles(config), () => false);
    if (isHeld) return "suspicious";
    if (patience.isRestless) {
      log.warn("The file is saved without a pause: after {seconds} s, what it holds now is put in force", {
        seconds: Math.round(patience.passedMs / 1000),
        hint: SLOWLY,
      });
    }
    const forAnother = await next.then(
      (checked): ForAnother | undefined =>
        this.#forAnother(checked, conditions, {
          successor: { content: content!, name: file, unfiled: null },
          origin: "file",
        }),
      () => undefined,
    );
    if (forAnother !== undefined) return forAnother;
    return await this.#change("file", async () => {
      try {
        const { config, warnings } = await next;
        const before = this.#config;
        const applied = await this.#apply({ config, warnings }, asker);
        this.#holds(config.steering);
        return await this.#finish(applied, conditions, before, {
          keep: () => void this.#keep(content!, config),
          back: (seconds) => {
            // The file is its owner's, and stays as it is.
            this.#refused = { time: this.#timers.date().toISOString(), message: notConfirmed(seconds) };
            this.#unsaved = [];
          },
        });
      } catch (error) {
        if (!isAboutContent(error)) this.#seen = undefined;
        throw error;
      }
    });
  }

  /** Whether a file that is good has to settle first; says so. */
  #settles(next: Config): boolean {
    const { settle } = this.#config.control;
    const loss = lossOf(this.#config, next);
    if (loss === undefined) return false;
    this.#settling = { ...loss, untilMs: this.#timers.now() + settle * 1000 };
    log.warn("The file loses {lost} of {rules} rules: it is put in force in {seconds} s if it still says so", {
      ...loss,
      seconds: settle,
      hint: "xdpsteer reload puts it in force at once; control.settle: 0 never waits",
    });
    return true;
  }

  /**
   * Checks and applies a configuration that came over the control socket.
   *
   * @throws {StaleError} where the conditions are not met.
   */
  async applyText(text: string | Uint8Array, name: string, conditions: Conditions = {}): Promise<Reloaded> {
    const content = typeof text === "string" ? new TextEncoder().encode(text) : text;
    const { check } = this.#options;
    const outcome = await this.#inTurn(async () => {
      this.#require(conditions);
      const checked = async (): Promise<Checked> => {
        const next = await check(content, name);
        requireOfFile(next.config, this.#config);
        return next;
      };
      if (conditions.dryRun) return this.#preview(await checked());
      let forAnother: ForAnother | undefined;
      const reloaded = await this.#change("request", async () => {
        const next = await checked();
        const unfiled = { seen: this.#seen ?? "", rules: this.#filed };
        forAnother = this.#forAnother(next, conditions, { successor: { content, name, unfiled }, origin: "request" });
        if (forAnother !== undefined) return undefined;
        const before = this.#config;
        return await this.#finish(await this.#apply(next, "request"), conditions, before);
      });
      return forAnother ?? reloaded!;
    });
    return "successor" in outcome ? await this.#handOver(outcome) : outcome;
  }

  /** What another process is to put in force, and can: in its words; undefined where this one can, or none. */
  #forAnother(
    next: Checked,
    { confirm }: Conditions,
    what: Pick<ForAnother, "origin" | "successor">,
  ): ForAnother | undefined {
    const { handover, restart } = fixedDifference(this.#config, this.#asNamed(next.config));
    if (handover.length === 0 || restart.length > 0 || this.#options.handOver === undefined) return undefined;
    if (confirm === undefined) return { ...what, next };
    throw new SteerError("This change is put in force by a new process, and that cannot be taken back by itself", {
      hint: "make it without --confirm",
      exitCode: EXIT.configInvalid,
    });
  }

  /** Has a new process put it in force. Not in a turn of the queue, which the handover has for itself. */
  async #handOver({ successor, next, origin }: ForAnother): Promise<Reloaded> {
    const { generation } = this.#options.steering;
    const startMs = this.#timers.now();
    const live = liveDifference(this.#config, next.config);
    const { handover: lines } = fixedDifference(this.#config, this.#asNamed(next.config));
    const changes = [...live, ...lines];
    log.info("A new process is to put in force what this one cannot: {changes}", {
      changes: firstOf(changes, LOGGED_LENGTH),
    });
    // Where it fails, the same content is tried again when somebody asks: each time takes a process.
    return await this.#change(origin, async () => {
      const handover = await this.#options.handOver!(successor);
      this.#record("applied", firstOf(changes, LOGGED_LENGTH));
      const elapsedMs = this.#timers.now() - startMs;
      return {
        ...{ changes, elapsedMs, handover, warnings: next.warnings },
        generation: generation + (live.length > 0 ? 1 : 0),
      };
    });
  }

  /**
   * What a configuration would change, and how. Nothing changes, and nothing is counted.
   *
   * @param content Undefined: what the file holds.
   * @throws {ConfigError} with all that is wrong with it.
   */
  compare(content: Uint8Array | undefined, name: string): Promise<Difference> {
    const { check, file, steering } = this.#options;
    return this.#inTurn(async () => {
      const found = content === undefined ? readFound(file) : { content };
      if (found.content === undefined) throw (found as Found).failure;
      const { config, warnings } = await check(found.content, content === undefined ? file : name);
      const next = this.#asNamed(config);
      return {
        generation: steering.generation,
        live: liveDifference(this.#config, next),
        ...fixedDifference(this.#config, next),
        warnings,
      };
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
  ): Promise<Reloaded> {
    const { cpuCount, file } = this.#options;
    return this.#inTurn(async () => {
      this.#require(conditions);
      using held = new DisposableStack();
      // What has to be confirmed is saved then: until then a restart would put in force what was before.
      const savesNow = save && conditions.confirm === undefined;
      const before = this.#saveLater ?? ((rules: readonly Rule[]) => [...rules]);
      const toSave = (rules: readonly Rule[]): Rule[] => change(before(rules));
      const plan = async (): Promise<{ readonly next: Checked; readonly saving?: Saving }> => {
        const config = recheck({ ...this.#config, steering: change(this.#config.steering) });
        const known = new Set(ruleWarnings(this.#config));
        const next = { config, warnings: ruleWarnings(config).filter((warning) => !known.has(warning)) };
        if (!save) return { next };
        const { prepareSave } = await import("../config/save.ts"); // loaded when first used
        // That it cannot be saved is told now.
        return { next, saving: held.use(prepareSave({ file, cpuCount }, config, toSave)) };
      };
      if (conditions.dryRun) return this.#preview((await plan()).next);
      return await this.#change("request", async () => {
        const { next, saving } = await plan();
        const config = this.#config;
        if (saving === undefined || !savesNow) {
          const applied = await this.#apply(next, "request");
          if (save) this.#saveLater = toSave;
          const keep = save ? () => this.#saveAll() : undefined;
          return await this.#finish(applied, conditions, config, { keep });
        }
        await saving.write();
        this.#seen = saving.content;
        try {
          const applied = await this.#apply(next, "request");
          this.#holds(next.config.steering);
          this.#keep(saving.content, next.config);
          return applied;
        } catch (error) {
          this.#seen = await saving.takeBack();
          throw error;
        }
      });
    });
  }

  /**
   * A change has come into force: for good, or for now.
   *
   * @param keep What is done when it is there for good; where that is a promise, it has been saved.
   * @param back Once it is taken back.
   */
  async #finish(
    applied: Reloaded,
    { confirm }: Conditions,
    before: Config,
    { keep, back }: { keep?: (() => void | Promise<void>) | undefined; back?: (seconds: number) => void } = {},
  ): Promise<Reloaded> {
    if (confirm === undefined || applied.changes.length === 0) {
      await keep?.();
      return applied;
    }
    this.#unconfirmed.begin(applied.changes, confirm, {
      keep: async () => {
        const saving = keep?.();
        await saving;
        return { saved: saving !== undefined };
      },
      takeBack: (seconds) =>
        this.#inTurn(async () => {
          if (this.#unconfirmed.state === null) return;
          await this.#change("request", () => this.#apply({ config: before, warnings: [] }, "unconfirmed"));
          this.#unconfirmed.end();
          this.#saveLater = undefined;
          back?.(seconds);
          this.#lookAgain();
        }),
    });
    return { ...applied, confirmWithin: confirm };
  }

  /** Makes the changes that were to be saved in the file, too: they are there for good. */
  async #saveAll(): Promise<void> {
    const { cpuCount, file } = this.#options;
    const change = this.#saveLater;
    if (change === undefined) return; // with another one
    this.#saveLater = undefined;
    const { prepareSave } = await import("../config/save.ts"); // loaded when first used
    using saving = prepareSave({ file, cpuCount }, this.#config, change);
    await saving.write();
    this.#seen = saving.content;
    this.#holds(this.#config.steering);
    this.#keep(saving.content, this.#config);
  }

  /** While a change waits, what the file holds waits too. @returns Whether it does. */
  #holdsSave(asker: Asker): boolean {
    if (this.#unconfirmed.state === null) return false;
    if (!this.#isSaveHeld && !isDeepStrictEqual(readFound(this.#options.file).identity, this.#seen)) {
      this.#isSaveHeld = true;
      log.warn("The file is looked at again when the change that waits is confirmed or taken back", { asker });
    }
    return true;
  }

  #lookAgain(): void {
    if (!this.#isSaveHeld) return;
    this.#isSaveHeld = false;
    void this.reloadFile("watch").catch(() => {}); // it is in the log and the status
  }

  /** Neither a change that is asked for too late nor a dry run counts as one that was refused. */
  #require({ generations, confirm, dryRun }: Conditions): void {
    const waiting = this.#unconfirmed.state;
    if (waiting !== null && confirm === undefined && dryRun !== true) throw new UnconfirmedError(waiting);
    const { generation } = this.#options.steering;
    if (generations !== undefined && !generations.includes(generation)) throw new StaleError(generation);
  }

  /** What a configuration would change. @throws {SteerError} as {@linkcode Reloader.#apply} does. */
  #preview({ config: next, warnings }: Checked): Reloaded {
    const { handover } = this.#requireFixed(next);
    const { generation } = this.#options.steering;
    const changes = [...liveDifference(this.#config, next), ...handover];
    return { generation, changes, elapsedMs: 0, warnings, ...(handover.length === 0 ? {} : { handover: "needed" }) };
  }

  /** The file has these rules, and they are in force. */
  #holds(rules: readonly Rule[]): void {
    this.#filed = rules;
    this.#unsaved = [];
    this.#refused = null;
    this.#lastGood = null;
    this.#settling = null;
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
    const message = toldRefusal(this.#options.file, error.message);
    this.#refused = { time: this.#timers.date().toISOString(), message };
    log.error("The configuration is refused, and the last good one is in force, {used}: {reason}", {
      used,
      reason: message,
      hint: "fix the file: it is put in force as soon as it is good",
    });
  }

  /** Whatever comes of a change, the service manager hears when it began and when it was over. */
  async #change<T extends Reloaded | undefined>(origin: Origin, work: () => Promise<T>): Promise<T> {
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
    const result = await queue.run(async () => {
      try {
        return await work();
      } finally {
        collectLeftovers(); // before the next one begins, which leaves as much
      }
    });
    await steering.captured;
    return result;
  }

  /**
   * @returns What another process can put in force, and this one cannot.
   * @throws {SteerError} for a change that needs a restart.
   */
  #requireFixed(next: Config): { readonly handover: readonly string[] } {
    const named = this.#asNamed(next);
    requireHanded(named, this.#config);
    return fixedDifference(this.#config, named);
  }

  /** The same, where an interface that is steered has another of its names with the name that it is known by. */
  #asNamed(next: Config): Config {
    const { naming } = this.#options;
    const interfaces = next.interfaces.map((each) => {
      const known = this.#config.interfaces.find((_, index) => naming?.hasName(index, each.name));
      return known === undefined ? each : { ...each, name: known.name };
    });
    return { ...next, interfaces };
  }

  async #apply({ config: next, warnings }: Checked, by: PutBy): Promise<Reloaded> {
    const { handover } = this.#requireFixed(next);
    if (handover.length > 0) throw noSuccessor(handover);
    const { steering } = this.#options;
    const before = steering.generation;
    const applied = await steering.apply(next.steering, {
      addresses: next.forwarding.addresses,
      guard: { guard: next.guard, lists: next.lists },
    });
    this.#config = next;
    next.interfaces.forEach(({ name }, index) => this.#options.naming?.rename(index, name));
    this.#unsaved = unsavedOf(this.#filed, next.steering);
    const result = applied.generation === before ? "unchanged" : "applied";
    const changes = firstOf(applied.changes, LOGGED_LENGTH);
    this.#record(result, changes);
    if (applied.kept !== undefined) log.info("Kept as before: {kept}", { kept: applied.kept });
    if (result === "applied") {
      this.#putBy = by;
      this.#put = { date: this.#timers.date(), atMs: this.#timers.now() };
      log.info("Generation {generation} is in force after {elapsedMs} ms: {changes}", {
        generation: applied.generation,
        elapsedMs: Number(applied.elapsedMs.toFixed(1)),
        changes,
      });
      for (const warning of warnings) log.warn("What is odd about this configuration: {warning}", { warning });
      return { ...applied, warnings: [...warnings, ...(this.onApplied?.(next) ?? [])] };
    }
    const secondsAgo = Math.round((this.#timers.now() - this.#put.atMs) / 100) / 10;
    return { ...applied, warnings, inForce: { by: this.#putBy, since: this.#put.date.toISOString(), secondsAgo } };
  }

  #refuse(error: unknown, origin: Origin): unknown {
    const { file } = this.#options;
    const message = origin === "file" ? toldRefusal(file, messageOf(error)) : messageOf(error);
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

/** What of the rules in force the file does not have. */
function unsavedOf(filed: readonly Rule[], rules: readonly Rule[]): readonly string[] {
  return isDeepStrictEqual(rules, filed) ? [] : diffRules(filed, rules);
}

function noSuccessor(changes: readonly string[]): SteerError {
  return new SteerError(`Another process would have to put this in force, and none can: ${changes.join("; ")}`, {
    hint: "undo that part of the change",
    exitCode: EXIT.configInvalid,
  });
}

/** Why the file is not in force. */
function notConfirmed(seconds: number): string {
  return `it was in force for ${seconds} s, and ${NOT_CONFIRMED}`;
}

/** True where the same content would be refused again: else it may be put in force when what hindered it is over. */
function isAboutContent(error: unknown): boolean {
  return error instanceof SteerError && error.exitCode === EXIT.configInvalid;
}

/** @throws all but {@linkcode CHANGED}. */
function orChanged(error: unknown): typeof CHANGED {
  if (error === CHANGED) return CHANGED;
  throw error;
}
