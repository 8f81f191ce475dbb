/**
 * What is told of a backend that has had no packets.
 *
 * @module
 */
import { BackendFlows } from "../../src/backends/flow.ts";
import type { BackendStatus } from "../../src/backends/status.ts";
import { NO_COUNTS } from "../../src/steering/backend_counts.ts";

export const QUIET_BACKEND: Omit<BackendStatus, "name" | "rules" | "sessions" | "health" | "nextHop" | "noWay"> = {
  ...new BackendFlows(() => NO_COUNTS).of("", 0),
  drain: null,
  leavingSeconds: null,
  findings: [],
  meantBy: [],
};
