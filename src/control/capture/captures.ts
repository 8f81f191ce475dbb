/**
 * The captures in force: their numbers, their files, their counts, and the thread that writes them. Loaded with the first one.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { CaptureConfig } from "../../config/capture.ts";
import type { RuleConfig } from "../../config/schema.ts";
import { CAPTURE_IDS, CaptureRingReader } from "../../dataplane/capture_ring.ts";
import { CapturePlan } from "../../dataplane/capture_tap.ts";
import { SteerError } from "../../errors.ts";
import { logger } from "../../log.ts";
import { endsInKernel } from "../../steering/rule.ts";
import { RETIRED } from "../../steering/slots.ts";
import { VERSION } from "../../version.ts";
import type { SteeredInterface } from "../interface.ts";
import type { WorkerPool } from "../workers.ts";
import { CAPTURE_THREAD, CaptureCounts, type FileOrder, type FromWriter, type ToWriter } from "./messages.ts";
import { within } from "./within.ts";

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
  readonly config: CaptureConfig;
  readonly id: number;
  /** What its number had counted for others before. */
  readonly before: Counts;
  /** Resolves when its file is there, or has failed. */
  readonly opened: PromiseWithResolvers<void>;
  readonly closed: PromiseWithResolvers<void>;
  closing: boolean;
  error: string | null;
}

const START_MS = 5000;
/** How long a change waits for the disk; then it goes on without. */
const DISK_MS = 2000;
const STOP_MS = 1500;
/** Rules whose counts are kept by name. */
const NAMES_MAX = 4096;
const NONE: Counts = { written: 0, dropped: 0 };

const log = logger("capture");

export class Captures {
  readonly #plan: CapturePlan;
  readonly #counts = CaptureCounts.create(CAPTURE_IDS);
  readonly #queuePorts: number;
  /** For their counts only: the thread takes the packets out. */
  readonly #rings: readonly CaptureRingReader[];
  readonly #thread: Worker;
  readonly #ready = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<void>();
  /** By number. */
  readonly #captures = new Map<number, Capture>();
  /** Numbers not in use, the one longest so first. */
  readonly #free = Array.from({ length: CAPTURE_IDS - 1 }, (_, index) => index + 1);
  /** Of captures that are over, by rule. */
  readonly #past = new Map<string, Counts>();
  #version = 0;
  #failed = false;

  /** @param entry The module of the process, whose threads write captures. */
  constructor(private readonly workers: WorkerPool, interfaces: readonly SteeredInterface[], entry: URL) {
    const { plan, rings } = workers.capture!;
    this.#plan = new CapturePlan(plan);
    const ports = interfaces.flatMap(({ queues }, networkInterface) =>
      queues.map(({ id }) => ({ networkInterface, queue: id }))
    );
    this.#queuePorts = ports.length;
    this.#rings = rings.map((ring) => new CaptureRingReader(ring, ports.length));
    this.#thread = new Worker(entry, { type: "module", name: CAPTURE_THREAD });
    this.#thread.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
    this.#thread.onmessage = ({ data }: MessageEvent<FromWriter>) => {
      if (data.type === "ready") {
        this.#post({
          type: "begin",
          rings,
          ports,
          interfaces: interfaces.map(({ name }) => name),
          counts: this.#counts.memory,
          about: { hardware: Deno.build.arch, os: `Linux ${Deno.osRelease()}`, userappl: `xdpsteer ${VERSION}` },
        });
        this.#ready.resolve();
      } else this.#hear(data);
    };
  }

  /**
   * Captures what the rules in force ask for, and nothing else. What stays as it is goes on undisturbed.
   *
   * @param slotOf Counter slot of a rule in force.
   */
  async apply(rules: readonly RuleConfig[], slotOf: (rule: string) => number | undefined): Promise<void> {
    if (!(await this.#started())) return;
    const wanted = rules.flatMap(({ name, action, capture }) =>
      capture === undefined || endsInKernel(action) ? [] : [{ rule: name, config: capture }]
    );
    const live = [...this.#captures.values()].filter(({ closing }) => !closing);
    const same = (one: Pick<Capture, "rule" | "config">, other: Pick<Capture, "rule" | "config">): boolean =>
      one.rule === other.rule && isDeepStrictEqual(one.config, other.config);
    this.#end(live.filter((capture) => !wanted.some((other) => same(capture, other))));
    const added: Capture[] = [];
    for (const { rule, config } of wanted.filter((each) => !live.some((capture) => same(capture, each)))) {
      const capture = await this.#begin(rule, config);
      if (capture !== undefined) added.push(capture);
    }
    await within(DISK_MS, Promise.all(added.map(({ opened }) => opened.promise)));
    for (const { rule, config, id } of added) {
      this.#plan.snap[id] = config.snap;
      this.#plan.sample[id] = config.sample;
      this.#plan.captureOfRule[slotOf(rule)!] = id;
    }
    if (added.length > 0) this.#announce();
  }

  status(): CaptureStatus[] {
    const statuses = new Map<string, CaptureStatus>();
    for (const [rule, counts] of this.#past) {
      statuses.set(rule, { rule, file: null, state: "off", error: null, ...counts });
    }
    for (const capture of this.#captures.values()) {
      const { rule, config, closing, error } = capture;
      const counts = sum(statuses.get(rule) ?? NONE, this.#countsOf(capture));
      const now = closing
        ? { file: null, state: "off", error: null } as const
        : { file: config.file, state: error === null ? "on" : "failed", error } as const;
      // The one that is over, where one follows it under the same rule, comes first: its number was given out before.
      const known = statuses.get(rule);
      statuses.set(rule, { rule, ...(closing && known !== undefined ? known : now), ...counts });
    }
    return [...statuses.values()].sort((one, other) => one.rule < other.rule ? -1 : 1);
  }

  /** Writes what is in the rings, within a bound, and ends. The workers have ended already. */
  async stop(): Promise<void> {
    if (!this.#failed && await within(STOP_MS, this.#ready.promise)) {
      this.#post({ type: "stop" });
      if (!(await within(STOP_MS, this.#stopped.promise))) {
        log.error("The last captured packets were not written in time: the disk is too slow");
      }
    }
    this.#thread.terminate();
  }

  async #begin(rule: string, config: CaptureConfig): Promise<Capture | undefined> {
    if (this.#free.length === 0) {
      const closing = [...this.#captures.values()].filter((capture) => capture.closing);
      await within(DISK_MS, Promise.race(closing.map(({ closed }) => closed.promise)));
    }
    const id = this.#free.shift();
    if (id === undefined) {
      log.error("Rule {rule} is not captured: too many captures before it are not written yet", {
        rule,
        hint: "the disk is too slow: take the capture out of the configuration and put it back later",
      });
      return undefined;
    }
    const capture: Capture = {
      rule,
      config,
      id,
      before: this.#rawCounts(id),
      opened: Promise.withResolvers(),
      closed: Promise.withResolvers(),
      closing: false,
      error: null,
    };
    this.#captures.set(id, capture);
    const order: FileOrder = { path: config.file, snap: config.snap, rotate: config.rotate };
    this.#post({ type: "open", id, order });
    return capture;
  }

  #end(captures: readonly Capture[]): void {
    if (captures.length === 0) return;
    for (const capture of captures) {
      capture.closing = true;
      const { captureOfRule, sample } = this.#plan;
      captureOfRule.forEach((id, slot) => {
        if (id === capture.id) captureOfRule[slot] = 0;
      });
      sample[capture.id] = 0;
    }
    this.#announce();
    for (const { id } of captures) this.#post({ type: "close", id, version: this.#version });
  }

  #hear(message: FromWriter): void {
    if (message.type === "stopped") return this.#stopped.resolve();
    if (message.type === "ready") return;
    const capture = this.#captures.get(message.id);
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
    this.#captures.delete(id);
    this.#free.push(id);
    this.#addPast(rule, counts);
    if (this.#past.size > NAMES_MAX) {
      const [oldest] = [...this.#past.keys()].filter((name) => name !== RETIRED);
      const moved = this.#past.get(oldest!)!;
      this.#past.delete(oldest!);
      this.#addPast(RETIRED, moved);
    }
    log.info("The capture of rule {rule} in {file} is over: {written} packets written, {dropped} dropped", {
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
    const { written, dropped } = this.#rawCounts(id);
    return { written: written - before.written, dropped: dropped - before.dropped };
  }

  #rawCounts(id: number): Counts {
    let dropped = this.#counts.lost[id]!;
    for (const ring of this.#rings) {
      for (let port = 0; port < this.#queuePorts; port++) dropped += ring.dropped(id, port);
    }
    return { written: this.#counts.written[id]!, dropped };
  }

  async #started(): Promise<boolean> {
    if (!this.#failed && !(await within(START_MS, this.#ready.promise))) {
      this.#fail(`it did not start within ${START_MS} ms`);
    }
    return !this.#failed;
  }

  /** The thread has ended: from now on packets find no room, and are counted as dropped. */
  #fail(reason: string): void {
    if (this.#failed) return;
    this.#failed = true;
    const message = `The thread that writes captures has failed: ${reason}`;
    log.error("{message}", { message, hint: "restart xdpsteer to capture again" });
    for (const capture of this.#captures.values()) {
      capture.error = message;
      capture.opened.resolve();
    }
    this.#ready.reject(new SteerError(message));
    this.#stopped.resolve();
  }

  #announce(): void {
    this.workers.control.capturePlan = ++this.#version;
  }

  #post(message: ToWriter): void {
    this.#thread.postMessage(message);
  }
}

function sum(one: Counts, other: Counts): Counts {
  return { written: one.written + other.written, dropped: one.dropped + other.dropped };
}
