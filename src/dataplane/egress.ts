/**
 * The way out by another interface: packets are copied into a chunk of a queue of that interface, because a chunk
 * belongs to the UMEM of its queue for good.
 *
 * @module
 */
import type { Egress } from "./forward.ts";
import type { QueuePort } from "./queue_port.ts";

export class CopyingEgress implements Egress {
  /** By interface; undefined for one without a queue port. */
  readonly #ports: readonly (QueuePort | undefined)[];
  /** By interface. */
  readonly #largest: Int32Array;

  /**
   * @param ports All of the worker's.
   * @param interfaceOfPort Number of each port's interface.
   * @param worker Workers share an interface's queues out between them.
   */
  constructor(ports: readonly QueuePort[], interfaceOfPort: readonly number[], worker: number) {
    const count = Math.max(...interfaceOfPort) + 1;
    this.#ports = Array.from({ length: count }, (_, wanted) => {
      const ofInterface = ports.filter((_, index) => interfaceOfPort[index] === wanted);
      return ofInterface[worker % ofInterface.length];
    });
    // Without a queue port nothing is sent, whatever its size.
    this.#largest = Int32Array.from(this.#ports, (port) => port?.largestCopy ?? 0x7fffffff);
  }

  /** Hot path: no allocation. */
  largest(networkInterface: number): number {
    return this.#largest[networkInterface]!;
  }

  /** Hot path: no allocation. What was copied goes out at the next {@linkcode submit}. */
  send(networkInterface: number, umem: DataView, addr: number, length: number): boolean {
    return this.#ports[networkInterface]?.copyIn(umem, addr, length) ?? false;
  }

  /** Hands all that was copied to the kernel. Once per batch. */
  submit(): void {
    const ports = this.#ports;
    for (let index = 0; index < ports.length; index++) ports[index]?.submitCopied();
  }
}
