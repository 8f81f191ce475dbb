/**
 * Has the service manager keep what a process after a crash goes on with: descriptors, and a record of the numbers that
 * go with them.
 *
 * @module
 */
import { messageOf } from "../../errors.ts";
import { identityOf } from "../../ffi/descriptors.ts";
import type { DescriptorStore } from "../../host/descriptor_store.ts";
import { startOf } from "../../host/process_start.ts";
import { logger } from "../../log.ts";
import { VERSION } from "../../version.ts";
import type { Appliance } from "../appliance.ts";
import { encode, type HandedAppliance, type Handovers, PROTOCOL } from "../handover/estate.ts";
import { CrashRecord } from "./record.ts";

export interface CrashKeeperOptions {
  readonly appliance: Pick<Appliance, "onPublish" | "standing" | "watching">;
  readonly store: Pick<DescriptorStore, "keep" | "remove" | "room">;
  /** The configuration in force. */
  readonly config: () => unknown;
  readonly handovers: () => Omit<Handovers, "carried">;
  /** Counters that this process keeps for itself. Not cheap. */
  readonly carried: () => Handovers["carried"];
}

/** The name of the record in the store. Descriptors are numbered. */
export const RECORD_NAME = "xdpsteer-record";

export function nameOf(descriptor: number): string {
  return `xdpsteer-${descriptor}`;
}

/** Between two looks at what nobody tells of. */
const LOOK_MS = 1000;

const log = logger("crash");

export class CrashKeeper {
  readonly #options: CrashKeeperOptions;
  #isOn = false;
  #record: CrashRecord | undefined;
  /** Names in the store. */
  #names: string[] = [];
  /** What each descriptor is of, by number in this process; empty where that has to be found out anew. */
  readonly #identities = new Map<number, string>();
  /** By place: what is kept. */
  #kept = "";
  #text = "";
  #carried: Handovers["carried"] | undefined;
  #reattachments = 0;
  #putting: Promise<void> | undefined;
  #isDue = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #hasFailed = false;
  #hasTold = false;
  readonly #started = startOf(Deno.pid);

  constructor(options: CrashKeeperOptions) {
    this.#options = options;
  }

  /**
   * From now on a process after a crash finds what this one has.
   *
   * @param before Names of what is still kept of the process before this one, and is not any more.
   */
  begin(before: readonly string[] = []): void {
    this.#isOn = true;
    this.#names = [...before];
    this.#kept = before.join();
    this.#options.appliance.onPublish(() => {
      this.#identities.clear();
      this.#soon();
    });
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#look();
  }

  /** Descriptors that a process after a crash goes on with; 0 while it would begin afresh. */
  get kept(): number {
    return this.#text === "" ? 0 : this.#names.length;
  }

  /** Counters were told to somebody: they may not go back after a crash. */
  shown(): void {
    this.#carried = undefined;
    this.#soon();
  }

  /** Nothing is kept any more: the process ends in order, or another one takes over. */
  async end(): Promise<void> {
    if (!this.#isOn) return;
    this.#isOn = false;
    clearInterval(this.#timer);
    this.#options.appliance.onPublish(() => {});
    await this.#putting;
    await this.#forget().catch((error) => this.#fail(error));
    this.#record?.[Symbol.dispose]();
    this.#record = undefined;
  }

  /** When all that is put in force together is. */
  #soon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#look();
    });
  }

  #look(): void {
    if (!this.#isOn || this.#putting !== undefined) return; // it looks again afterwards
    try {
      const standing = this.#standing();
      const kept = standing?.identities.join() ?? "";
      if (kept === this.#kept) {
        if (standing !== undefined) this.#write(standing);
        return;
      }
      this.#putting = this.#put(standing)
        .then(() => void (this.#kept = kept), (error) => this.#fail(error))
        .finally(() => {
          this.#putting = undefined;
          if (this.#hasFailed) return;
          this.#look();
          this.#tell();
        });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** What there is now; undefined while an interface is not attached: a start finds out what there is then. */
  #standing(): Standing | undefined {
    const { appliance } = this.#options;
    for (let again = false;; again = true) {
      const identities: string[] = [];
      const fds: number[] = [];
      const add = (fd: number): number => {
        if (fd < 0) return -1;
        const identity = this.#identities.get(fd) ?? identityOf(fd);
        this.#identities.set(fd, identity);
        const place = identities.indexOf(identity);
        if (place >= 0) return place; // the service manager keeps nothing twice
        fds.push(fd);
        return identities.push(identity) - 1;
      };
      let handed: HandedAppliance;
      try {
        handed = appliance.standing(add);
      } catch {
        return undefined;
      }
      const reattachments = handed.interfaces.reduce((sum, each) => sum + each.reattachments, 0);
      if (reattachments !== this.#reattachments && !again) {
        this.#reattachments = reattachments;
        this.#identities.clear(); // other files may have the same numbers
        continue;
      }
      for (const fd of appliance.watching) add(fd);
      return { handed, identities, fds };
    }
  }

  #write({ handed, fds }: Pick<Standing, "fds" | "handed">): void {
    this.#carried ??= this.#options.carried();
    const text = encode({
      type: "testament",
      started: this.#started,
      descriptors: fds.length,
      estate: {
        ...{ protocol: PROTOCOL, version: VERSION, pid: Deno.pid, config: this.#options.config() },
        ...{ successor: null, lock: -1 },
        appliance: { ...handed, workers: { ...handed.workers, wakeFds: [] } },
      },
      handovers: { ...this.#options.handovers(), carried: this.#carried },
    });
    if (text === this.#text) return;
    if (!this.#record!.write(text)) throw new RangeError("what is in force is too much to write down");
    this.#text = text;
  }

  /** Has something else kept. */
  async #put(standing: Standing | undefined): Promise<void> {
    const { store } = this.#options;
    await this.#forget();
    if (standing === undefined) return;
    const { fds } = standing;
    if (fds.length + 1 > store.room) {
      throw new RangeError(`it keeps ${store.room} descriptors, and there are ${fds.length + 1}`);
    }
    this.#record ??= CrashRecord.create();
    for (const [place, fd] of [...fds.entries(), [-1, this.#record.fd] as const]) {
      const name = place < 0 ? RECORD_NAME : nameOf(place);
      this.#names.push(name);
      await store.keep({ name, fd });
    }
  }

  /** Once. */
  #tell(): void {
    if (this.#text === "" || this.#hasTold) return;
    this.#hasTold = true;
    log.info("After a crash the next process goes on with sessions and counters: {descriptors} descriptors are kept", {
      descriptors: this.#names.length,
      pid: Deno.pid,
    });
  }

  async #forget(): Promise<void> {
    this.#record?.clear();
    this.#text = "";
    this.#kept = "";
    for (const name of this.#names.splice(0)) await this.#options.store.remove(name);
  }

  #fail(error: unknown): void {
    this.#record?.clear(); // what may be out of date is not gone on with
    this.#text = "";
    if (this.#hasFailed) return; // once is enough
    this.#hasFailed = true;
    log.warn("After a crash sessions and counters would begin anew: the service manager keeps nothing: {reason}", {
      reason: messageOf(error),
    });
  }
}

interface Standing {
  readonly handed: HandedAppliance;
  /** By place. */
  readonly identities: readonly string[];
  readonly fds: readonly number[];
}
