/**
 * Sessions of workers that are no more, given to those that come after them: to the one that their clients' packets are
 * steered to from now on, and, where another one has their translation ports, to that one too (twins.ts).
 *
 * @module
 */
import { mix } from "../packet/flow_hash.ts";
import { FLAG_IPV6, FLAG_LIVE, SESSION, SESSION_SHIFT } from "./session_row.ts";
import { isAnswersHalf, pair, twinOf, type TwinPlace, type TwinRows } from "./twins.ts";

const {
  client: CLIENT,
  service: SERVICE,
  ports: PORTS,
  translationPort: TRANSLATION_PORT,
  rule: RULE,
  lastSeen: LAST_SEEN,
  flags: FLAGS,
  arrival: ARRIVAL,
  generation: GENERATION,
  awaited: AWAITED,
} = SESSION;
const ROW_WORDS = 1 << SESSION_SHIFT;

/** Who gets which session. */
export interface Homes {
  /** Workers that there are. */
  readonly workers: number;
  /** Sessions that each may have. */
  readonly capacity: number;
  /** The worker that a rule's packets go to, by slot; undefined where no rule forwards any more. */
  workerOf(rule: number): number | "hash" | undefined;
  /** The worker that has a translation port; undefined: it is nobody's any more. */
  ownerOf(port: number): number | undefined;
  /** By which a client's packets come, as it is numbered now. */
  arrivalOf(arrival: number): number;
}

export interface Rehomed {
  /** Sessions that have a place, and those whose port or place is not there any more. */
  readonly kept: number;
  readonly lost: number;
}

/**
 * Gives all sessions to new tables, which are empty.
 *
 * @param before Nobody uses them any more; they stay as they are.
 */
export function rehome(before: readonly TwinRows[], next: readonly TwinRows[], homes: Homes): Rehomed {
  const used = next.map(() => 0);
  let kept = 0;
  let lost = 0;
  const add = (worker: number, from: Int32Array, at: number, lastSeen: number): TwinPlace => {
    const row = used[worker]!++;
    const { rows } = next[worker]!;
    const to = row << SESSION_SHIFT;
    rows.set(from.subarray(at, at + ROW_WORDS), to);
    rows[to + LAST_SEEN] = lastSeen;
    rows[to + ARRIVAL] = homes.arrivalOf(from[at + ARRIVAL]!);
    return { worker, row };
  };
  for (const table of before) {
    const { rows } = table;
    const count = rows.length >> SESSION_SHIFT;
    // As SessionTable.takeRows(): rows are used one after the other at first.
    for (let row = 0; row < count && rows[(row << SESSION_SHIFT) + GENERATION] !== 0; row++) {
      const at = row << SESSION_SHIFT;
      if ((rows[at + FLAGS]! & FLAG_LIVE) === 0) continue;
      const twin = twinOf(table, row);
      // The client's half stands for both.
      if (twin !== undefined && isAnswersHalf(table, row)) continue;
      const otherSeen = twin === undefined ? 0 : before[twin.worker]!.rows[(twin.row << SESSION_SHIFT) + LAST_SEEN]!;
      const lastSeen = Math.max(rows[at + LAST_SEEN]!, otherSeen);
      const port = rows[at + TRANSLATION_PORT]!;
      const owner = port === 0 ? undefined : homes.ownerOf(port);
      const client = clientsWorker(rows, at, homes) ?? owner;
      const places = new Set([client, port === 0 ? client : owner]);
      const hasRoom = [...places].every((worker) => worker !== undefined && used[worker]! < homes.capacity);
      if (!hasRoom) {
        lost++;
        continue;
      }
      kept++;
      const clients = add(client!, rows, at, lastSeen);
      if (places.size === 1) continue;
      const answers = add(owner!, rows, at, lastSeen);
      // It does not hear of what the client asks, and so cannot tell when it has got all answers.
      next[owner!]!.rows[(answers.row << SESSION_SHIFT) + AWAITED] = 0;
      pair(next, clients, answers);
    }
  }
  return { kept, lost };
}

/** The worker that the XDP program steers a session's client to; undefined where its rule does not forward any more. */
function clientsWorker(rows: Int32Array, at: number, { workers, workerOf }: Homes): number | undefined {
  const worker = workerOf(rows[at + RULE]!);
  if (worker !== "hash") return worker;
  return spreadOver(workers, rows, at);
}

/** The worker that flow_hash() of bpf/parse.h chooses for a client's packets. */
export function spreadOver(workers: number, rows: Int32Array, at: number): number {
  const words = (rows[at + FLAGS]! & FLAG_IPV6) !== 0 ? 4 : 1;
  let hash = 0;
  for (const from of [CLIENT, SERVICE]) {
    for (let word = 0; word < words; word++) hash = mix(hash, rows[at + from + word]!);
  }
  const ports = rows[at + PORTS]!;
  hash = mix(hash, (ports << 16) | (ports >>> 16));
  return Number((BigInt(hash >>> 0) * BigInt(workers)) >> 32n);
}
