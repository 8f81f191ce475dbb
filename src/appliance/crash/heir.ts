/**
 * The process that is started after a crash: finds what the service manager has kept, and whether it fits. Whatever
 * does not is closed, and the start is one like any other.
 *
 * @module
 */
import type { Config } from "../../config/schema.ts";
import { heldDescriptors } from "../../engine/interface.ts";
import { messageOf, SteerError } from "../../errors.ts";
import { duplicate, identityOf } from "../../ffi/descriptors.ts";
import { detachOpenLink } from "../../ffi/libbpf.ts";
import { closeFd } from "../../ffi/libc.ts";
import { hasEnded } from "../../ffi/process.ts";
import type { DescriptorStore, KeptDescriptor } from "../../host/descriptor_store.ts";
import { startOf } from "../../host/process_start.ts";
import { logger } from "../../log.ts";
import { restartKeys } from "../fixed.ts";
import {
  decode,
  type HandedAppliance,
  type Handovers,
  PROTOCOL,
  type Testament,
  withDescriptors,
} from "../handover/estate.ts";
import { areOthers } from "../handover/former.ts";
import { asJson, handedFor } from "../handover/handed.ts";
import { nameOf, RECORD_NAME } from "./keeper.ts";
import { CrashRecord } from "./record.ts";

/** Parts of the configuration that decide what fits to the sockets and the memory that are there. */
const MUST_FIT = ["interfaces", "workers", "forwarding"] as const;

const log = logger("crash");

export class Heir {
  /** What there is to go on with; undefined where it does not fit. */
  handed: HandedAppliance | undefined;
  #handovers: Handovers | undefined;
  /** Those that were given to the appliance: what of them is still open is to be closed where it fails. */
  #given: { readonly fd: number; readonly identity: string }[] = [];
  #isClosed = false;

  private constructor(
    private readonly passed: readonly KeptDescriptor[],
    private readonly store: DescriptorStore | undefined,
  ) {}

  /** @returns undefined where the service manager has kept nothing. */
  static async of(
    passed: readonly KeptDescriptor[],
    store: DescriptorStore | undefined,
    config: Config,
  ): Promise<Heir | undefined> {
    if (passed.length === 0) return undefined;
    const heir = new Heir(passed, store);
    try {
      heir.#read(config);
    } catch (error) {
      await heir.refuse(error);
    }
    return heir;
  }

  /** Names in the store. */
  get names(): string[] {
    return [...new Set(this.passed.map(({ name }) => name))];
  }

  /** What there has been before, and that this process goes on with it; undefined where it does not. */
  get handovers(): Handovers | undefined {
    const before = this.handed && this.#handovers;
    if (before === undefined) return undefined;
    return {
      ...before,
      counts: { ...before.counts, adopted: before.counts.adopted + 1 },
      last: { result: "adopted", time: new Date().toISOString(), pid: Deno.pid, gapsMs: [], reason: "" },
    };
  }

  /** The appliance has what it has of it: lets go of the rest. */
  done(): void {
    const owned = ownedOf(this.handed!);
    for (const { fd } of this.#given.splice(0)) if (!owned.has(fd)) closeFd(fd);
    this.#close();
  }

  /** Closes everything, here and in the store: interfaces and queues are free afterwards. */
  async refuse(error: unknown): Promise<void> {
    log.warn("What a process had that has crashed is closed, sessions and counters begin anew: {reason}", {
      reason: messageOf(error),
    });
    this.handed = undefined;
    for (const { fd } of this.passed) detachOpenLink(fd); // refused for all that is no link
    for (const { fd, identity } of this.#given.splice(0)) if (identityOf(fd) === identity) closeFd(fd);
    this.#close();
    for (const name of this.names) await this.store?.remove(name);
    await this.store?.settled();
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const { fd } of this.passed) closeFd(fd);
  }

  /** @throws {SteerError} where something does not fit. */
  #read(config: Config): void {
    const byName = new Map(this.passed.map(({ name, fd }) => [name, fd]));
    const recordFd = byName.get(RECORD_NAME);
    if (recordFd === undefined) throw new SteerError("it has left no record");
    using record = CrashRecord.adopt(duplicate(recordFd));
    const begun = record.begin();
    if (begun > 0) throw new SteerError("a process has begun to go on with it, and was not healthy for long enough");
    const text = record.read();
    if (text === undefined) throw new SteerError("its record is not whole");
    const testament = decode(text) as Testament;
    if (testament.estate.protocol !== PROTOCOL) {
      throw new SteerError(`its record is of protocol ${testament.estate.protocol}, this version's is ${PROTOCOL}`);
    }
    requireEnded(testament);
    requireFit(config, testament.estate.config as Config);
    const fds = Array.from({ length: testament.descriptors }, (_, place) => byName.get(nameOf(place)));
    const missing = fds.filter((fd) => fd === undefined || identityOf(fd) === "").length;
    if (missing > 0) throw new SteerError(`${missing} of ${fds.length} descriptors are missing`);
    this.#given = fds.map((fd) => ({ fd: duplicate(fd!), identity: identityOf(fd!) }));
    const estate = withDescriptors(testament.estate, this.#given.map(({ fd }) => fd));
    this.handed = handedFor(config, estate);
    this.#handovers = testament.handovers;
  }
}

/** Descriptors that whoever adopts them closes. Maps are opened once more when a program takes them. */
function ownedOf({ interfaces, workers: { ownership, counters, sessions } }: HandedAppliance): ReadonlySet<number> {
  return new Set([
    ownership,
    ...counters,
    ...sessions.flatMap((parts) => Object.values(parts)),
    ...interfaces.flatMap(heldDescriptors),
  ]);
}

/** @throws {SteerError} where that process may still be there. */
function requireEnded({ estate: { pid }, started }: Testament): void {
  if (hasEnded(pid)) return;
  const found = startOf(pid); // "" for one that is not to be seen, or only waits for its parent
  if (found !== started) return;
  throw new SteerError(`process ${pid} is still there`);
}

/** @throws {SteerError} where the configuration has changed in what cannot change under sockets that are there. */
function requireFit(config: Config, before: Config): void {
  const next = asJson(config);
  const changed = restartKeys(MUST_FIT, before, next);
  if (changed.length > 0) throw new SteerError(`the configuration has another ${changed.join(", ")} by now`);
  // A handover copies sessions and counters; here a worker goes on with those of the one before.
  if (areOthers(next, before)) throw new SteerError("the configuration has other workers, rings or interfaces by now");
}
