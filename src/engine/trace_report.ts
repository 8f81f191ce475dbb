/**
 * What an event of the kernel's xdp tracepoints means on a box that steers, and what to do about it.
 *
 * @module
 */
import type { RedirectError, TraceEvent } from "../bpf/trace.ts";
import { logger } from "../log.ts";
import { nounFor } from "../text.ts";

const log = logger("kernel");

/** What it takes to read an index of xsk_map. */
export interface WatchedInterface {
  readonly name: string;
  readonly workers: number;
  readonly xskMapId: number;
}

/** Ends the sentence for an event of which there may have been others. */
export const MORE = " ({suppressed} more were not reported)";

/** By errno, as xsk_rcv() of Linux 5.19 and later returns them; before, ENOSPC stands for ENOBUFS and ENOMEM too. */
const REDIRECT_MEANINGS: Readonly<Record<string, string>> = {
  ENOBUFS:
    "The rx ring of worker {worker} on queue {queue} of {interface} is full, and packets are dropped: the worker " +
    "does not keep up. Spread its ports with worker: hash, give it a CPU of its own, or enlarge rings.rx",
  ENOMEM: "The fill ring of queue {queue} of {interface} is empty, and packets for worker {worker} are dropped: the " +
    "workers do not give chunks back fast enough. Enlarge umem.chunks and rings.fill, or spread the load over more " +
    "workers",
  ENOSPC:
    "A packet for worker {worker} on queue {queue} of {interface} was dropped: it is larger than a chunk, or, before " +
    "Linux 5.19, the rx ring is full or the fill ring empty. Compare the MTU with umem.chunk_size, and look at the " +
    "drops in /metrics",
  EINVAL: "The socket of worker {worker} is not bound to queue {queue} of {interface}, and packets are dropped. " +
    "Restart xdpsteer, and tell its makers if that does not help",
  ENXIO:
    "The socket of worker {worker} on queue {queue} of {interface} is closed or its interface went down, and packets " +
    "are dropped. If that does not end, bring the interface up again or restart xdpsteer",
};

/** For ENOBUFS, where the worker's loop did not turn. */
const STOOD_STILL =
  "The rx ring of worker {worker} on queue {queue} of {interface} is full, and packets are dropped: the worker stood " +
  "still. xdpsteer status says if it still does, and why; larger rings do not help";

const OTHER_MEANING =
  "Packets for worker {worker} on queue {queue} of {interface} are dropped: the kernel cannot redirect them " +
  "({errno}). Restart xdpsteer if that does not end";

const ACT_MEANINGS: Readonly<Record<string, string>> = {
  XDP_ABORTED: "An XDP program on {interface} failed and returned XDP_ABORTED, and the packet was dropped",
  XDP_TX: "An XDP program on {interface} returned XDP_TX, and the driver could not send the packet back",
};

const ACT_ADVICE = ". It is none of xdpsteer's programs, which never return that: bpftool net names all of {interface}";

/** Puts one event into the log. @param stoodStill Whether a worker's loop did not turn lately. */
export function reportTrace(
  watched: WatchedInterface,
  event: TraceEvent,
  stoodStill: (worker: number) => boolean,
): void {
  if (event.kind === "redirect_err") return reportRedirect(watched, event, stoodStill);
  const meaning = ACT_MEANINGS[event.act] ??
    "An XDP program on {interface} returned {act}, which is no verdict, and the packet was dropped";
  log.warn(`${meaning}${ACT_ADVICE}${MORE}`, { ...event, interface: watched.name });
}

function reportRedirect(
  { name, workers, xskMapId }: WatchedInterface,
  event: RedirectError,
  stoodStill: (worker: number) => boolean,
): void {
  const { kind, errno, mapId, index, suppressed } = event;
  if (mapId === xskMapId) {
    const facts = { kind, errno, interface: name, queue: Math.floor(index / workers), worker: index % workers };
    const meaning = errno === "ENOBUFS" && stoodStill(facts.worker) ? STOOD_STILL : REDIRECT_MEANINGS[errno];
    log.warn(`${meaning ?? OTHER_MEANING}${MORE}`, { ...facts, suppressed });
  } else {
    log.warn(
      "A redirect of another XDP program on {interface} failed with {errno}, and the packet was dropped: bpftool net " +
        `names the programs${MORE}`,
      { kind, errno, interface: name, mapId, index, suppressed },
    );
  }
}

/** Says what was held back after the last event of a flood. */
export function reportRest(interfaceName: string, what: string, suppressed: number): void {
  const packets = `more ${nounFor(suppressed, "packet")}`;
  log.warn(`Not reported: {suppressed} ${packets} dropped on {interface} for the same cause ({what})`, {
    interface: interfaceName,
    what,
    suppressed,
  });
}
