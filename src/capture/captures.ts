/**
 * The captures in force: their numbers, their files, their counts, and the thread that writes them. Loaded with the
 * first one.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { CAPTURE_IDS, CaptureRingReader } from "../dataplane/capture_ring.ts";
import { type CapturePlan, viewCapturePlans } from "../dataplane/capture_tap.ts";
import { TABLE } from "../dataplane/control_words.ts";
import type { ChangeQueue } from "../engine/change_queue.ts";
import { messageOf } from "../errors.ts";
import { logger } from "../log.ts";
import { endsInKernel } from "../steering/action.ts";
import { type Change, Changes, flipOf, Published } from "../steering/published.ts";
import type { Capture as CaptureSettings, Rule } from "../steering/rule.ts";
import { RETIRED } from "../steering/slots.ts";
import { VERSION } from "../version.ts";
import type { SteeredInterface } from "../engine/interface.ts";
import type { WorkerPool } from "../engine/workers.ts";
import { CaptureCounts, type FileMessage, type FileOrder } from "./messages.ts";
import { within } from "./within.ts";
import { WriterThread } from "./writer_thread.ts";
import { nounFor } from "../text.ts";

/** What became of the packets that were to be captured for a rule, since the process started. */
export interface CaptureStatus {
  readonly rule: string;
  /** The file being written; null for a rule that is not captured any more. */
  readonly file: string | null;
  /** failed: nothing more is written, packets are counted as dropped. */
  readonly state: "on" | "failed" | "off";
  /** Why it has failed. */
  readonly error: string | null;
  /** Packets in files. */
  readonly written: number;
  /** Packets that are in no file: the ring was full, or the file has failed. */
  readonly dropped: number;
}

interface Counts {
  readonly written: number;
  readonly dropped: number;
}

interface Capture {
  readonly rule: string;
  readonly config: CaptureSettings;
  /** 0 before it has one. */
  id: number;
  /** What its number had counted for others before. */
  before: Counts;
  /** Resolves when its file is there, or has failed. */
  readonly opened: PromiseWithResolvers<void>;
  readonly closed: PromiseWithResolvers<void>;
  /** True once it is part of a plan. */
  planned: boolean;
  closing: boolean;
  error: string | null;
}

/** Captures that changed rules ask for, prepared. */
export interface CaptureChange extends Change {
  /**
   * To be called when they are in force: begins those that are new. Resolves when they have begun, or the log says why
   * not.
   */
  begin(): Promise<void>;
}

/** How long a change waits for the disk; then it goes on without. */
const DISK_MS = 2000;
/** Between two attempts to tell workers that do not answer. */
const AGAIN_MS = 1000;
/** Rules whose counts are kept by name. */
const NAMES_MAX = 4096;
const NONE: Counts = { written: 0, dropped: 0 };

const log = logger("capture");

export interface CapturesOptions {
  readonly workers: WorkerPool;
  readonly interfaces: readonly SteeredInterface[];
  readonly queue: ChangeQueue;
  /** In which, or below which, all files are. */
  readonly directory: string;
  /** Counter slot of a rule in force. */
  readonly slotOf: (rule: string) => number | undefined;
  /** The module of the process, whose threads write captures. */
  readonly entry: URL;
}

export class Captures {
  readonly #plans: Published<CapturePlan>;
  readonly #queue: ChangeQueue;
  readonly #slotOf: (rule: string) => number | undefined;
  readonly #counts = CaptureCounts.create(CAPTURE_IDS);
  readonly #queueEnds: number;
  /** For their counts only: the thread takes the packets out. */
  readonly #rings: readonly CaptureRingReader[];
  readonly #writer: WriterThread;
  /** Those that the rules in force ask for. */
  #wanted: readonly Capture[] = [];
  /** Those, and those that are over but still have packets to write. */
  readonly #captures = new Set<Capture>();
  /** Numbers not in use, the one longest so first. */
  readonly #free = Array.from({ length: CAPTURE_IDS - 1 }, (_, index) => index + 1);
  /** Of captures that are over, by rule. */
  readonly #past = new Map<string, Counts>();
  #again: ReturnType<typeof setTimeout> | undefined;

  readonly #directory: string;

  constructor({ workers, interfaces, queue, slotOf, directory, entry }: CapturesOptions) {
    const { plans, rings } = workers.capture!;
    this.#plans = new Published(viewCapturePlans(plans), workers.readers(TABLE.capture));
    this.#queue = queue;
    this.#slotOf = slotOf;
    this.#directory = directory;
    const ports = interfaces.flatMap(({ queues }, networkInterface) =>
      queues.map(({ id }) => ({ networkInterface, queue: id }))
    );
    this.#queueEnds = ports.length;
    this.#rings = rings.map((ring) => new CaptureRingReader(ring, ports.length));
    this.#writer = new WriterThread(entry, {
      begin: {
        type: "begin",
        rings,
        ports,
        interfaces: interfaces.map(({ name }) => name),
        counts: this.#counts.memory,
        about: { hardware: Deno.build.arch, os: `Linux ${Deno.osRelease()}`, userappl: `xdpsteer ${VERSION}` },
      },
      onMessage: (message) => this.#hear(message),
      onFailure: (reason) => {
        for (const capture of this.#captures) fail(capture, reason);
      },
    });
  }

  /** Rules whose captures have failed. */
  get failed(): readonly string[] {
    return this.#wanted.filter(({ error }) => error !== null).map(({ rule }) => rule);
  }

  /** Prepares what changed rules ask for. What stays as it is goes on undisturbed; what has failed begins anew. */
  async prepare(rules: readonly Rule[]): Promise<CaptureChange> {
    const asked = rules.flatMap(({ name, action, capture }) =>
      capture === undefined || endsInKernel(action.kind) ? [] : [{ rule: name, config: capture }]
    );
    type Asked = typeof asked[number];
    const same = (one: Asked, other: Asked): boolean =>
      one.rule === other.rule && isDeepStrictEqual(one.config, other.config);
    const before = this.#wanted;
    const kept = before.filter((capture) => capture.error === null && asked.some((each) => same(capture, each)));
    const ended = before.filter((capture) => !kept.includes(capture));
    const added = asked.filter((each) => !kept.some((capture) => same(capture, each))).map(newCapture);
    const changes = new Changes();
    if (ended.some(({ planned }) => planned)) changes.add(await this.#preparePlan(kept));
    changes.add({
      flip: () => {
        this.#wanted = [...kept, ...added];
        for (const capture of ended) capture.closing = true;
        for (const capture of added) this.#captures.add(capture);
      },
      back: () => {
        this.#wanted = before;
        for (const capture of ended) capture.closing = false;
        for (const capture of added) this.#captures.delete(capture);
      },
    });
    return { flip: () => changes.flip(), back: () => changes.back(), begin: () => this.#begin(ended, added) };
  }

  status(): CaptureStatus[] {
    const statuses = new Map<string, CaptureStatus>();
    for (const [rule, counts] of this.#past) {
      statuses.set(rule, { rule, file: null, state: "off", error: null, ...counts });
    }
    for (const capture of this.#captures) {
      const { rule, config, closing, error } = capture;
      const counts = sum(statuses.get(rule) ?? NONE, this.#countsOf(capture));
      const now = closing
        ? { file: null, state: "off", error: null } as const
        : { file: config.file, state: error === null ? "on" : "failed", error } as const;
      // The one that is over, where one follows it under the same rule, comes first.
      const known = statuses.get(rule);
      statuses.set(rule, { rule, ...(closing && known !== undefined ? known : now), ...counts });
    }
    return [...statuses.values()].sort((one, other) => one.rule < other.rule ? -1 : 1);
  }

  /** Writes what is in the rings, within a bound, and ends. The workers have ended already. */
  stop(): Promise<void> {
    clearTimeout(this.#again);
    return this.#writer.stop();
  }

  /** Writes the idle plan: those of these captures whose files are there. */
  async #preparePlan(captures: readonly Capture[]): Promise<Change> {
    const plan = await this.#plans.idle();
    plan.captureOfRule.fill(0);
    plan.sample.fill(0);
    for (const { rule, config, id, planned } of captures) {
      if (!planned) continue;
      plan.snap[id] = config.snap;
      plan.sample[id] = config.sample;
      plan.captureOfRule[this.#slotOf(rule)!] = id;
    }
    return flipOf(this.#plans);
  }

  /** Not in a turn of the queue: it waits for the disk. */
  async #begin(ended: readonly Capture[], added: readonly Capture[]): Promise<void> {
    const { version } = this.#plans;
    for (const capture of ended) {
      if (capture.id === 0) this.#captures.delete(capture);
      else this.#writer.post({ type: "close", id: capture.id, version });
    }
    if (added.length === 0) return;
    if (!(await this.#writer.started())) {
      for (const capture of added) fail(capture, this.#writer.failure);
      return;
    }
    for (const capture of added) await this.#open(capture);
    await within(DISK_MS, Promise.all(added.filter(({ id }) => id > 0).map(({ opened }) => opened.promise)));
    await this.#queue.run(() => this.#plan(added));
  }

  /**
   * Captures packets for those of these that have a file and are not over. Tries again until it is done. In a turn of
   * the queue.
   */
  async #plan(added: readonly Capture[]): Promise<void> {
    const begun = added.filter(({ id, closing }) => id > 0 && !closing);
    if (begun.length === 0) return;
    for (const capture of begun) capture.planned = true;
    try {
      (await this.#preparePlan(this.#wanted)).flip();
    } catch (error) {
      for (const capture of begun) capture.planned = false;
      const rules = begun.map(({ rule }) => rule);
      log.error("Rules {rules} are not captured yet: {reason}", { rules, reason: messageOf(error) });
      this.#again = setTimeout(() => void this.#queue.run(() => this.#plan(begun)), AGAIN_MS);
    }
  }

  /** Gives a capture a number and has its file opened, unless it is over meanwhile. */
  async #open(capture: Capture): Promise<void> {
    if (this.#free.length === 0) {
      const closing = [...this.#captures].filter(({ id, closing }) => id > 0 && closing);
      await within(DISK_MS, Promise.race(closing.map(({ closed }) => closed.promise)));
    }
    const { rule, config } = capture;
    if (capture.closing) return;
    const id = this.#free.shift();
    if (id === undefined) {
      capture.error = "too many captures before it are not written yet";
      log.error("Rule {rule} is not captured: {reason}", {
        rule,
        reason: capture.error,
        hint: "the disk is too slow: take the capture out of the configuration and put it back later",
      });
      return;
    }
    capture.id = id;
    capture.before = this.#rawCounts(id);
    const order: FileOrder = {
      directory: this.#directory,
      path: config.file,
      snap: config.snap,
      rotate: config.rotate,
    };
    this.#writer.post({ type: "open", id, order });
  }

  #hear(message: FileMessage): void {
    const capture = [...this.#captures].find(({ id }) => id === message.id);
    if (capture === undefined) return;
    const { rule, config: { file } } = capture;
    if (message.type === "opened") {
      capture.opened.resolve();
      if (capture.error === null) log.info("Rule {rule} is captured in {file}", { rule, file });
    } else if (message.type === "failed") {
      capture.error = `${message.message}; ${message.hint}`;
      log.error("Rule {rule} is not captured any more, its packets go on: cannot write {file}: {reason}", {
        rule,
        file,
        reason: message.message,
        hint: message.hint,
      });
    } else {
      this.#forget(capture);
    }
  }

  #forget(capture: Capture): void {
    const { rule, id, closed, config: { file } } = capture;
    const counts = this.#countsOf(capture);
    this.#captures.delete(capture);
    this.#free.push(id);
    this.#addPast(rule, counts);
    if (this.#past.size > NAMES_MAX) {
      const [oldest] = [...this.#past.keys()].filter((name) => name !== RETIRED);
      const moved = this.#past.get(oldest!)!;
      this.#past.delete(oldest!);
      this.#addPast(RETIRED, moved);
    }
    const packets = nounFor(counts.written, "packet");
    log.info(`The capture of rule {rule} in {file} is over: {written} ${packets} written, {dropped} dropped`, {
      rule,
      file,
      ...counts,
    });
    closed.resolve();
  }

  #addPast(rule: string, counts: Counts): void {
    this.#past.set(rule, sum(this.#past.get(rule) ?? NONE, counts));
  }

  #countsOf({ id, before }: Capture): Counts {
    if (id === 0) return NONE;
    const { written, dropped } = this.#rawCounts(id);
    return { written: written - before.written, dropped: dropped - before.dropped };
  }

  #rawCounts(id: number): Counts {
    let dropped = this.#counts.lost[id]!;
    for (const ring of this.#rings) {
      for (let port = 0; port < this.#queueEnds; port++) dropped += ring.dropped(id, port);
    }
    return { written: this.#counts.written[id]!, dropped };
  }
}

function fail(capture: Capture, reason: string): void {
  capture.error = reason;
  capture.opened.resolve();
}

function newCapture({ rule, config }: Pick<Capture, "rule" | "config">): Capture {
  return {
    rule,
    config,
    id: 0,
    before: NONE,
    opened: Promise.withResolvers(),
    closed: Promise.withResolvers(),
    planned: false,
    closing: false,
    error: null,
  };
}

function sum(one: Counts, other: Counts): Counts {
  return { written: one.written + other.written, dropped: one.dropped + other.dropped };
}
