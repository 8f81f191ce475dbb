/**
 * Keeps the memory of the calling thread near what it needs. V8 lets buffers of up to 64 MiB wait for a collection, and
 * a connection has several of 64 KiB: whoever connects and leaves all the time would have the process grow by that.
 *
 * @module
 */
import { trimMemory } from "./libc.ts";

/** What may come on top of what the last collection left. */
const ROOM_BYTES = 6 << 20;
/** The same for a thread that says itself when it has made garbage. */
const LEFT_BYTES = 16 << 20;
/** Between two collections of everything, each of which takes some ten milliseconds. */
const LOOK_MS = 100;
/** Without a collection for so long, what was freed is given back to the kernel. */
const QUIET_MS = 2000;

/** Of V8's flag --expose-gc, which the one file has. */
type Collect = (options: { readonly type: "major" | "minor"; readonly execution: "sync" }) => void;

const collect = (globalThis as { readonly gc?: Collect }).gc;
/** The least that the calling thread has had in use since the last collection of everything. */
let keptBytes = 0;

/** Collects what is young and not used any more: some milliseconds. Does nothing without the flag. */
export function collectYoung(): void {
  collect?.({ type: "minor", execution: "sync" });
}

/** Collects garbage from now on whenever much has come up. Does nothing without the flag. */
export function collectGarbage(): void {
  if (collect === undefined) return;
  keptBytes = inUse();
  /** When it was collected last; undefined when all that was freed then has been given back. */
  let collectedMs: number | undefined;
  setInterval(() => {
    if (collectAbove(ROOM_BYTES)) {
      collectedMs = performance.now();
    } else if (collectedMs !== undefined && performance.now() - collectedMs > QUIET_MS) {
      collectedMs = undefined;
      trimMemory();
    }
  }, LOOK_MS);
}

/**
 * To be called when work is over that may have left much garbage: collects it, and gives its memory back. Takes some
 * ten milliseconds where there is much, else none. V8 alone lets the heap grow to several times what is in use, and to
 * more with each round. Does nothing without the flag.
 */
export function collectLeftovers(): void {
  if (collectAbove(LEFT_BYTES)) trimMemory();
}

/** Collects everything where more than this has come up since the last time. @returns whether it has. */
function collectAbove(roomBytes: number): boolean {
  if (collect === undefined) return false;
  const used = inUse();
  keptBytes = Math.min(keptBytes, used);
  if (used <= keptBytes + roomBytes) return false;
  collect({ type: "major", execution: "sync" });
  keptBytes = inUse();
  return true;
}

function inUse(): number {
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}
