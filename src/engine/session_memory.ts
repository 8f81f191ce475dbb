/**
 * The memory of a worker's sessions, which outlives a process.
 *
 * @module
 */
import type { SharedMemoryOptions } from "../ffi/shared_memory.ts";
import { BACKEND_COUNTS_BYTES, BACKEND_COUNTS_SHAPE } from "../steering/backend_counts.ts";
import { LIVE_OF_BACKEND_BYTES, sessionBytes, SESSIONS_SHAPE } from "../steering/sessions.ts";
import { TWINS_SHAPE, twinsBytes } from "../steering/twins.ts";

/** Their rows and where other halves of these are, how many each backend has, what is counted of backends. */
export type SessionPart = "rows" | "twins" | "liveOfBackend" | "backendCounts";

export function eachPart<T>(of: (part: SessionPart) => T): Record<SessionPart, T> {
  return {
    rows: of("rows"),
    twins: of("twins"),
    liveOfBackend: of("liveOfBackend"),
    backendCounts: of("backendCounts"),
  };
}

/** @param capacity Sessions that there may be. */
export function sessionMemory(part: SessionPart, capacity: number): SharedMemoryOptions {
  switch (part) {
    case "rows":
      return { name: "xdpsteer sessions", shape: SESSIONS_SHAPE, bytes: sessionBytes(capacity) };
    case "twins":
      return { name: "xdpsteer halves of sessions", shape: TWINS_SHAPE, bytes: twinsBytes(capacity) };
    case "liveOfBackend":
      return { name: "xdpsteer sessions of backends", shape: "i32 by row", bytes: LIVE_OF_BACKEND_BYTES };
    case "backendCounts":
      return { name: "xdpsteer backends", shape: BACKEND_COUNTS_SHAPE, bytes: BACKEND_COUNTS_BYTES };
  }
}
