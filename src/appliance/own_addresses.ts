/**
 * Keeps the XDP program in step with the box's addresses, IP and Ethernet.
 *
 * @module
 */
import type { ChangeQueue } from "../engine/change_queue.ts";
import type { SteeredInterface } from "../engine/interface.ts";
import { messageOf } from "../errors.ts";
import type { Devices } from "../host/devices.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import { formatAddress } from "../packet/address.ts";
import type { OwnAddresses } from "../steering/addresses.ts";

/** After a failure. */
const RETRY_MS = 1000;

const log = logger("addresses");

export interface AddressFollowerOptions {
  readonly devices: Pick<Devices, "own" | "macsOf">;
  readonly interfaces: readonly Pick<SteeredInterface, "device" | "name" | "setMacs">[];
  readonly queue: ChangeQueue;
  /** Puts {@linkcode AddressFollower.own} in force. In a turn of the queue. */
  readonly apply: () => Promise<void>;
  readonly timers?: Timers;
}

export class AddressFollower implements Disposable {
  readonly #options: AddressFollowerOptions;
  /** What is in force, or about to be. */
  #own: OwnAddresses;
  #retry: Disposable | undefined;
  #disposed = false;

  constructor(options: AddressFollowerOptions) {
    this.#options = options;
    this.#own = options.devices.own;
  }

  /** The box's addresses, as they were when last looked at. */
  get own(): OwnAddresses {
    return this.#own;
  }

  /** Tells the programs of the Ethernet addresses. */
  setMacs(): void {
    const { devices, interfaces } = this.#options;
    for (const steered of interfaces) {
      if (steered.device !== undefined) steered.setMacs(devices.macsOf(steered.device));
    }
  }

  /** Compares with what the kernel has, and puts what differs in force. */
  look(): void {
    if (this.#disposed) return;
    try {
      this.setMacs();
    } catch (error) {
      log.error("Cannot follow the Ethernet addresses: {error}", { error: messageOf(error) });
    }
    const before = this.#own;
    const own = this.#options.devices.own;
    if (wordsOf(own) === wordsOf(before)) return;
    this.#own = own;
    this.#put(before);
  }

  #put(before: OwnAddresses): void {
    this.#options.queue.run(() => this.#options.apply()).then(
      () => tell(before, this.#own),
      (error) => {
        log.error("The addresses of this machine in force are not those that it has: {error}", {
          error: messageOf(error),
        });
        if (!this.#disposed) {
          this.#retry = (this.#options.timers ?? SYSTEM_TIMERS).after(RETRY_MS, () => this.#put(before));
        }
      },
    );
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#retry?.[Symbol.dispose]();
  }
}

function wordsOf({ own, broadcasts }: OwnAddresses): string {
  return [own, broadcasts].map((addresses) => addresses.map((address) => address.toHex()).join()).join("|");
}

function tell({ own: before }: OwnAddresses, { own: after }: OwnAddresses): void {
  const [was, is] = [before, after].map((addresses) => new Set(addresses.map(formatAddress)));
  const added = [...is!.difference(was!)];
  const removed = [...was!.difference(is!)];
  const words = [
    added.length > 0 ? `with ${added.join(", ")}` : "",
    removed.length > 0 ? `without ${removed.join(", ")}` : "",
  ].filter((text) => text !== "");
  if (words.length > 0) log.info("Rules for own addresses: {change}", { change: words.join(", ") });
}
