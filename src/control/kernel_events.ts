/**
 * What the kernel side has to say, brought into the log: the XDP program's events, and an interface that goes away.
 *
 * @module
 */
import { openEvents, type SteerEvent } from "../bpf/events.ts";
import type { BpfRingBuffer } from "../ffi/libbpf.ts";
import { interfaceIndex } from "../ffi/libc.ts";
import { logger } from "../log.ts";
import type { SteeredInterface } from "./interface.ts";

const CONSUME_MS = 200;

const log = logger("kernel");

export class KernelEvents implements Disposable {
  readonly #rings: BpfRingBuffer[];
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #gone = new Set<string>();

  constructor(private readonly interfaces: readonly SteeredInterface[]) {
    this.#rings = interfaces.map(({ name, program }) => openEvents(program.eventsFd, (event) => report(name, event)));
    this.#timer = setInterval(() => this.#look(), CONSUME_MS);
  }

  #look(): void {
    for (const ring of this.#rings) ring.consume();
    for (const { name, ifindex } of this.interfaces) {
      if (interfaceIndex(name) === ifindex || this.#gone.has(name)) continue;
      this.#gone.add(name);
      log.error("Interface {interface} is gone; restart xdpsteer when it is back", { interface: name });
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    for (const ring of this.#rings) {
      ring.consume();
      ring[Symbol.dispose]();
    }
  }
}

function report(interfaceName: string, event: SteerEvent): void {
  const facts = { interface: interfaceName, ...event };
  if (event.kind === "uncovered_queue") {
    log.warn(
      "Packets for port {port} arrive on queue {queue} of {interface}, which has no sockets; the kernel stack gets them. " +
        "Restart xdpsteer to cover it ({suppressed} more were not reported)",
      facts,
    );
  } else {
    log.warn(
      "A malformed packet ({reason}, {length} bytes) on queue {queue} of {interface} went to the kernel stack " +
        "({suppressed} more were not reported)",
      facts,
    );
  }
}
