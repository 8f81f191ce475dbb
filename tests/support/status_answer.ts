/**
 * Answers to GET /v1/status, made up for tests of what shows them: every counter from a few numbers.
 *
 * @module
 */
import { loopNumbers } from "../../src/observe/snapshot.ts";
import type { StatusAnswer } from "../../src/cli/top/rates.ts";
import type { XskStatistics } from "../../src/xsk/socket.ts";

export interface MadeUpRule {
  readonly name: string;
  /** Packets so far. */
  readonly packets: number;
  readonly action?: "count" | "drop";
  readonly ports?: string;
  /** Dropped by the first worker because its tx ring was full. */
  readonly tooMany?: number;
}

export interface MadeUpStatus {
  readonly uptimeMs: number;
  readonly rules: readonly MadeUpRule[];
  readonly pid?: number;
  readonly workers?: number;
  readonly queues?: number;
  /** Of each worker. */
  readonly idleMs?: number;
  /** rx_ring_full of the first socket. */
  readonly lost?: number;
  readonly lastReload?: StatusAnswer["lastReload"];
  readonly problems?: StatusAnswer["problems"];
  readonly backends?: StatusAnswer["backends"];
}

const FRAME_BYTES = 100;
const NONE = { packets: 0, bytes: 0 };
const LOOP = loopNumbers(() => 0);
/** Of a socket to which nothing has happened. */
export const STATISTICS: XskStatistics = {
  rx_dropped: 0,
  rx_invalid_descs: 0,
  tx_invalid_descs: 0,
  rx_ring_full: 0,
  rx_fill_ring_empty_descs: 0,
  tx_ring_empty_descs: 0,
};

/** Packets of a rule that counts go to the first worker, from the first queue. */
export function statusAnswer(status: MadeUpStatus): StatusAnswer {
  const { uptimeMs, rules, pid = 1, workers = 2, queues = 2, idleMs = 0, lost = 0, lastReload = null } = status;
  const sum = (action: string): number =>
    rules.reduce((total, { packets, action: does = "count" }) => total + (does === action ? packets : 0), 0);
  const [received, dropped] = [sum("count"), sum("drop")];
  return {
    version: "1.2.3",
    pid,
    reloads: { applied: 0, unchanged: 0, refused: lastReload?.result === "refused" ? 1 : 0 },
    lastReload,
    backends: status.backends ?? [],
    problems: status.problems ?? [],
    generation: 7,
    uptimeMs,
    interfaces: [{
      name: "eth7",
      currentName: "eth7",
      ifindex: 7,
      ...{ state: "attached", since: "2026-01-02T03:04:05.000Z", why: "", reattachments: 0, unattachedMs: 0 },
      attach: "native",
      fallbackReason: "",
      seen: received + dropped + lost,
      redirectErrors: {},
      unsent: 0,
      verdicts: { redirect: { steered: received + lost }, drop: { rule_drop: dropped }, pass: {} },
      queues: Array.from({ length: queues }, (_, queue) => ({
        queue,
        zeroCopy: false,
        fill: 1000,
        completion: 0,
        ringSizes: { rx: 2048, tx: 2048, fill: 4096, completion: 2048 },
        sockets: Array.from({ length: workers }, (_, worker) => ({
          worker,
          statistics: { ...STATISTICS, rx_ring_full: queue === 0 && worker === 0 ? lost : 0, tx_ring_empty_descs: 5 },
          rx: worker,
          tx: 0,
        })),
      })),
    }],
    workers: Array.from({ length: workers }, (_, worker) => ({
      worker,
      state: "running",
      thread: 100 + worker,
      cpu: null,
      received: worker === 0 ? received : 0,
      busyRatio: 0,
      idleMs,
      stillMs: 0,
      replacements: 0,
      cpuWaitMs: 0,
      loop: LOOP,
    })),
    rules: rules.map(({ name, packets, action = "count", ports = "9090", tooMany = 0 }) => {
      const counts = { packets, bytes: packets * FRAME_BYTES };
      const counted = action === "count" ? counts : NONE;
      const unsent = { packets: tooMany, bytes: tooMany * FRAME_BYTES };
      return {
        name,
        inForce: true,
        ports,
        addresses: "own",
        worker: 0,
        action,
        redirected: counted,
        dropped: action === "drop" ? counts : NONE,
        passed: NONE,
        guarded: { denied: 0, banned: 0, limited: 0, observed: 0, overTotal: 0 },
        fragments: 0,
        delivered: NONE,
        answered: NONE,
        workers: Array.from({ length: workers }, (_, worker) => ({
          worker,
          fates: { counted: worker === 0 ? counted : NONE, tx_ring_full: worker === 0 ? unsent : NONE },
          received: Array.from({ length: queues }, (_, queue) => ({
            interface: "eth7",
            queue,
            packets: worker === 0 && queue === 0 ? counted.packets : 0,
          })),
        })),
        answers: [],
      };
    }),
    translationPorts: null,
    bans: { operator: 0, limit: 0 },
    captures: [],
    lists: [],
    names: [],
    repairs: [],
    pausedMs: 0,
    deadman: { armed: true, on: false, times: 0, seconds: 0 },
    totals: {
      seen: received + dropped + lost,
      verdicts: { redirect: received + lost, pass: 0, drop: dropped },
      received,
      socketDrops: lost,
      redirectErrors: 0,
      fates: { counted: received },
    },
  };
}
