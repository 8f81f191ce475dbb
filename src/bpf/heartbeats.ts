/**
 * Where workers say that their loops turn, and where the kernel says what it made of it: parts of `steering_control`.
 *
 * @module
 */
import { MappedMemory, type MemoryAddress } from "../ffi/memory.ts";
import { CONTROL, DEADMAN, HEARTBEAT } from "./layout.gen.ts";

/** What the deadman has done. */
export interface DeadmanState {
  /** Everything passes to the kernel stack now. */
  readonly isOn: boolean;
  /** How often it did so far, with now. */
  readonly times: number;
  /** For how long in all, seconds. Never goes down. */
  readonly seconds: number;
}

export class Heartbeats implements Disposable {
  readonly #memory: MappedMemory;
  readonly #words: Uint32Array;

  /** @param controlFd Of `steering_control`. */
  constructor(controlFd: number) {
    this.#memory = MappedMemory.shared(controlFd, CONTROL.size, 0, "map steering_control");
    this.#words = new Uint32Array(this.#memory.view(), CONTROL.deadman, DEADMAN.size / 4);
  }

  /** The word that a worker counts its turns in. It may be written until this is disposed of. */
  of(worker: number): MemoryAddress {
    const at = CONTROL.heartbeats + worker * HEARTBEAT.size + HEARTBEAT.turns;
    return { address: this.#memory.address.address + BigInt(at), length: 4 };
  }

  deadman(): DeadmanState {
    const word = (at: number): number => Atomics.load(this.#words, at / 4);
    // The writer's other half may be a look older, which is 0.1 s.
    const [low, high] = [word(DEADMAN.nanoseconds), word(DEADMAN.nanoseconds + 4)];
    return {
      isOn: word(DEADMAN.on) !== 0,
      times: word(DEADMAN.times),
      seconds: (high * 2 ** 32 + low) / 1e9,
    };
  }

  [Symbol.dispose](): void {
    this.#memory.close();
  }
}
