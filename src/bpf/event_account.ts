/**
 * How many events there were of which nobody has been told. The BPF programs count every event per slot and CPU, and
 * report one a second with the count so far; nothing is ever reset, so no event is lost or told twice.
 *
 * @module
 */
import { lookupElement, possibleCpus, u32 } from "../ffi/libbpf.ts";
import { EVENT_LIMIT } from "./layout.gen.ts";

/**
 * A flood counts as ended when nothing was reported for this long: longer than the programs wait between two reports
 * and the control thread between two looks.
 */
const QUIET_MS = 2500;

interface Slot {
  /** By CPU: how many events have been told of, alone or as a number. */
  readonly told: number[];
  lastMs: number;
  settled: boolean;
}

export class EventAccount {
  readonly #slots = new Map<number, Slot>();
  readonly #cpus = possibleCpus();

  /** Enters a reported event. @returns how many before it, on the same CPU, were not reported. */
  enter(slot: number, cpu: number, count: number): number {
    const entry = this.#slots.get(slot) ?? { told: new Array<number>(this.#cpus).fill(0), lastMs: 0, settled: false };
    this.#slots.set(slot, entry);
    entry.lastMs = performance.now();
    entry.settled = false;
    const suppressed = Math.max(count - entry.told[cpu]! - 1, 0);
    entry.told[cpu] = Math.max(count, entry.told[cpu]!);
    return suppressed;
  }

  /**
   * Slots whose flood has ended, each with how many events since its last report were not reported. Costs nothing where
   * nothing was reported lately.
   *
   * @param limitsFd The map in which the program counts.
   * @param now True settles all slots, ended or not.
   */
  settle(limitsFd: number, now = false): { readonly slot: number; readonly suppressed: number }[] {
    const ended = [...this.#slots].filter(([, { settled, lastMs }]) =>
      !settled && (now || performance.now() - lastMs > QUIET_MS)
    );
    return ended.flatMap(([slot, entry]) => {
      entry.settled = true;
      const suppressed = this.#readCounts(limitsFd, slot).reduce((sum, count, cpu) => {
        const more = Math.max(count - entry.told[cpu]!, 0);
        entry.told[cpu]! += more;
        return sum + more;
      }, 0);
      return suppressed > 0 ? [{ slot, suppressed }] : [];
    });
  }

  /** By CPU; nothing where the kernel does not answer. */
  #readCounts(limitsFd: number, slot: number): number[] {
    const values = new Uint8Array(EVENT_LIMIT.size * this.#cpus);
    if (lookupElement(limitsFd, u32(slot), values) < 0) return [];
    const view = new DataView(values.buffer);
    return Array.from(
      { length: this.#cpus },
      (_, cpu) => Number(view.getBigUint64(cpu * EVENT_LIMIT.size + EVENT_LIMIT.count, true)),
    );
  }
}
