/**
 * Keeps interfaces attached: notices one that goes away, is renamed or is detached by somebody else, and attaches it
 * again as soon as that can be, with the steps of the start. All others are left alone.
 *
 * @module
 */
import { messageOf, SteerError } from "../errors.ts";
import { interfaceIndex, rcuGracePeriod } from "../ffi/libc.ts";
import type { Device, DeviceSource } from "../host/devices.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import { nounFor, secondsText } from "../text.ts";
import type { ChangeQueue } from "./change_queue.ts";
import type { EndDirectory } from "./end_directory.ts";
import type { SteeredInterface } from "./interface.ts";

/** What is done to an interface. */
export type KeptInterface = Omit<SteeredInterface, "close" | "program">;

export interface KeeperOptions<Kept extends KeptInterface> {
  readonly interfaces: readonly Kept[];
  readonly devices: DeviceSource & { follow(changed: () => void): void };
  readonly directory: Pick<EndDirectory, "publish" | "taken">;
  readonly queue: ChangeQueue;
  readonly timers?: Timers;
  /** Resolves when no CPU is in an XDP program any more that was running. */
  readonly settled?: () => Promise<void>;
  /** The index of the interface that has a name now, 0 where none has. */
  readonly indexOf?: (name: string) => number;
}

/** Between two looks at what rtnetlink does not tell: a link that was detached by force. */
const LOOK_MS = 1000;
/** How long no interface at all may be attached, though one is there: then the process ends, and may be restarted. */
const HOPELESS_MS = 60_000;

const log = logger("interfaces");

export class InterfaceKeeper<Kept extends KeptInterface = SteeredInterface> implements Disposable {
  /** Rejects when packets have not been steered for long, for a cause that a restart may end. */
  readonly failure: Promise<never>;
  readonly #options: KeeperOptions<Kept>;
  readonly #timers: Timers;
  readonly #settled: () => Promise<void>;
  readonly #indexOf: (name: string) => number;
  readonly #fail: (error: SteerError) => void;
  readonly #underRepair = new Set<Kept>();
  /** What was last in the log of an interface that cannot be attached. */
  readonly #told = new Map<Kept, string>();
  /** Up to when it is counted how long an interface was not attached. */
  readonly #countedMs = new Map<Kept, number>();
  /** How long those that are not attached have not been. */
  readonly #offMs = new Map<Kept, number>();
  /** True while another process is to take over, or has: nothing is looked after. */
  paused = false;
  #onChange: () => void = () => {};
  #looking: Disposable | undefined;
  #hopelessSinceMs: number | undefined;
  #disposed = false;

  constructor(options: KeeperOptions<Kept>) {
    this.#options = options;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
    this.#settled = options.settled ?? rcuGracePeriod;
    this.#indexOf = options.indexOf ?? interfaceIndex;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.failure.catch(() => {}); // whoever cares awaits it
    this.#fail = reject;
  }

  /** Attaches the program to a device and opens its sockets: every packet still passes to the kernel stack. */
  async attach(kept: Kept, device: Device): Promise<void> {
    if (kept.attach === "none") {
      kept.attachTo(device);
      if (kept.fallbackReason !== "") {
        log.warn("Interface {interface} is attached in generic mode: {reason}", {
          interface: kept.name,
          reason: kept.fallbackReason,
        });
      }
    }
    if (!kept.hasSockets) await kept.openSockets();
  }

  /** Has the workers serve the open sockets of interfaces, once they run, and then lets packets reach them. */
  async serve(interfaces: readonly Kept[], running?: () => Promise<void>): Promise<void> {
    const { directory } = this.#options;
    await directory.publish(interfaces, false);
    await running?.();
    await directory.taken();
    for (const kept of interfaces) {
      kept.fillXskMap();
      kept.setCondition("attached");
    }
  }

  /**
   * Looks after the interfaces from now on.
   *
   * @param onChange Called when one has been attached, has gone, or is detached.
   */
  watch(onChange: () => void): void {
    this.#onChange = onChange;
    for (const kept of this.#options.interfaces) this.#count(kept, false);
    this.#options.devices.follow(() => this.look());
    this.#looking = this.#timers.every(LOOK_MS, () => this.look());
  }

  /** Compares every interface with what the kernel has, and repairs what differs. */
  look(): void {
    if (this.#disposed || this.paused) return;
    for (const kept of this.#options.interfaces) {
      try {
        this.#compare(kept);
      } catch (error) {
        log.error("Cannot look after interface {interface}: {error}", {
          interface: kept.name,
          error: messageOf(error),
        });
      }
      this.#count(kept, kept.condition.state !== "attached");
      if (kept.condition.state === "attached" || this.#underRepair.has(kept)) continue;
      if (!kept.hasSockets && this.#deviceFor(kept) === undefined) continue;
      this.#underRepair.add(kept);
      this.#options.queue.run(() => this.#repair(kept)).finally(() => this.#underRepair.delete(kept));
    }
    this.#judge();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#looking?.[Symbol.dispose]();
  }

  #compare(kept: Kept): void {
    const { device } = kept;
    if (device === undefined) return;
    const now = this.#options.devices.byIndex(device.ifindex);
    if (now === undefined || now.arrival !== device.arrival) {
      this.#lose(kept, "gone", `"${device.name}" was deleted, or moved to another network namespace`);
      kept.device = undefined;
      return;
    }
    if (now.name !== device.name) {
      log.info("Interface {interface} is called {name} now", { interface: kept.name, name: now.name });
    }
    kept.device = now;
    if (kept.condition.state !== "attached") return;
    const { fault } = kept;
    if (fault === undefined) return;
    // One that is being deleted or moved loses its name first, then the program; rtnetlink tells when all is done.
    if (this.#indexOf(now.name) === now.ifindex) this.#lose(kept, "detached", fault);
  }

  /**
   * Counts the time since the last look, in which an interface was attached or not. What a look finds has been so since
   * the one before at most: packets that went past are nowhere counted, and their time is not told too short.
   */
  #count(kept: Kept, isOff: boolean): void {
    const now = this.#timers.now();
    const passedMs = now - (this.#countedMs.get(kept) ?? now);
    this.#countedMs.set(kept, now);
    if (!isOff) return void this.#offMs.delete(kept);
    kept.unattachedMs += passedMs;
    this.#offMs.set(kept, (this.#offMs.get(kept) ?? 0) + passedMs);
  }

  /** From now on its packets pass to the kernel stack, wherever the device is. */
  #lose(kept: Kept, state: "gone" | "detached", why: string): void {
    kept.detach();
    if (kept.condition.state === state) return;
    kept.setCondition(state, why);
    log.error(`Interface {interface} is ${state === "gone" ? "gone" : "detached"}: {why}`, {
      interface: kept.name,
      why,
      hint: state === "gone"
        ? "it is attached again as soon as there is an interface of this name"
        : "it is attached again at once",
    });
    this.#onChange();
  }

  /** Which device to attach to: the one of before while that is there, or else one of the configured name. */
  #deviceFor(kept: Kept): Device | undefined {
    const { devices, interfaces } = this.#options;
    const device = kept.device ?? devices.byName(kept.name);
    const isTaken = interfaces.some((other) => other !== kept && other.ifindex === device?.ifindex);
    return isTaken ? undefined : device;
  }

  /** In a turn of the queue. Does not throw: the next look tries again. */
  async #repair(kept: Kept): Promise<void> {
    if (this.#disposed) return;
    try {
      // Sockets are bound to a device for good, and to no other.
      if (kept.hasSockets && (kept.device === undefined || !kept.isBound)) await this.#release(kept);
      const device = this.#deviceFor(kept);
      if (device === undefined || this.#disposed) return;
      kept.setCondition("attaching", kept.condition.why);
      const hadSockets = kept.hasSockets;
      await this.attach(kept, device);
      if (!hadSockets) await this.serve([kept]);
      this.#count(kept, true);
      kept.setCondition("attached");
      kept.reattachments++;
      this.#told.delete(kept);
      this.#tellAttached(kept);
    } catch (error) {
      this.#notAttached(kept, messageOf(error));
    }
    if (this.#disposed) kept.detach();
    this.#onChange();
  }

  /** Has the workers finish what came by the sockets, and closes them. */
  async #release(kept: Kept): Promise<void> {
    const { directory } = this.#options;
    await this.#settled(); // the last redirected packets are in the rings now
    await directory.publish([kept], true);
    await directory.taken();
    kept.closeSockets();
  }

  #notAttached(kept: Kept, reason: string): void {
    kept.detach();
    kept.setCondition("detached", reason);
    if (this.#told.get(kept) === reason) return;
    this.#told.set(kept, reason);
    log.error("Interface {interface} cannot be attached: {reason}", {
      interface: kept.name,
      reason,
      hint: "it is tried again every second",
    });
  }

  #tellAttached(kept: Kept): void {
    const { name, currentName, ifindex, attach, queues } = kept;
    const open = queues.filter(({ sockets }) => sockets.length > 0).length;
    const noun = nounFor(open, "queue");
    log.info(`Interface {interface} is attached again after at most {off}: {attach} XDP, {queues} ${noun}`, {
      interface: name,
      off: secondsText(this.#offMs.get(kept) ?? 0),
      ...(currentName === name ? {} : { name: currentName }),
      ifindex,
      attach,
      queues: open,
    });
    if (open === queues.length) return;
    log.warn("Interface {interface} has fewer queues than at the start: {open} of {queues}", {
      interface: name,
      open,
      queues: queues.length,
    });
  }

  /** An interface that is not there is waited for. One that is there and cannot be attached may need a restart. */
  #judge(): void {
    const { interfaces } = this.#options;
    const isHopeless = interfaces.every(({ condition }) => condition.state !== "attached") &&
      interfaces.some((kept) => this.#deviceFor(kept) !== undefined);
    if (!isHopeless) this.#hopelessSinceMs = undefined;
    else this.#hopelessSinceMs ??= this.#timers.now();
    if (this.#hopelessSinceMs === undefined || this.#timers.now() - this.#hopelessSinceMs < HOPELESS_MS) return;
    const reasons = interfaces.map(({ name, condition }) => `${name}: ${condition.why}`);
    this.#fail(
      new SteerError(`No interface could be attached for ${HOPELESS_MS / 1000} s: ${reasons.join("; ")}`, {
        hint: "a start that fails says what hinders it, and xdpsteer doctor how to fix it",
      }),
    );
  }
}
