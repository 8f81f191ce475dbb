import assert from "node:assert/strict";
import { MAX_CONNECTIONS, MAX_OF_USER, MAX_OF_USERS, type Placed, roomFor } from "./places.ts";

const OWN = 900;
const [ANN, BOB, EVE] = [1000, 1001, 1002];

interface Named extends Placed {
  readonly name: string;
}

function open(count: number, uid: number | undefined, turn: Placed["turn"], isAhead = false): Named[] {
  return Array.from({ length: count }, (_, at) => ({ name: `${uid} ${turn} ${at}`, uid, turn, isAhead }));
}

/** Who comes, what is open, and who goes: a name, "nobody", or "the newcomer". */
const CASES: readonly (readonly [string, number | undefined, readonly Named[], string])[] = [
  ["there is room", ANN, open(MAX_OF_USER - 1, ANN, "ours"), "nobody"],
  [
    "a user who has all its places loses its own, the oldest that waits for it",
    ANN,
    [...open(9, BOB, "send"), ...open(1, ANN, "ours"), ...open(1, ANN, "take"), ...open(62, ANN, "send")],
    "1000 send 0",
  ],
  ["who sends ahead goes first", ANN, [...open(63, ANN, "send"), ...open(1, ANN, "ours", true)], "1000 ours 0"],
  ["before an answer that waits for us, the newcomer goes", ANN, open(MAX_OF_USER, ANN, "ours"), "the newcomer"],
  [
    "of all users the one with most makes room for another one",
    EVE,
    [...open(40, ANN, "send"), ...open(MAX_OF_USERS - 40, BOB, "send")],
    "1001 send 0",
  ],
  ["root has room beside them", 0, [...open(48, ANN, "ours"), ...open(48, BOB, "ours")], "nobody"],
  ["so has the service's user", OWN, [...open(48, ANN, "ours"), ...open(48, BOB, "ours")], "nobody"],
  ["users make room for root", 0, [...open(64, 0, "send"), ...open(64, ANN, "send")], "1000 send 0"],
  ["root makes room for itself", 0, open(MAX_CONNECTIONS, 0, "send"), "0 send 0"],
  [
    "root makes no room for users",
    ANN,
    [...open(MAX_CONNECTIONS - 1, 0, "send"), ...open(1, BOB, "ours")],
    "the newcomer",
  ],
  ["nobody is known over TCP", undefined, open(MAX_CONNECTIONS, undefined, "send"), "undefined send 0"],
  ["an answer that is not taken goes last", undefined, [
    ...open(1, undefined, "take"),
    ...open(MAX_CONNECTIONS - 1, undefined, "ours"),
  ], "undefined take 0"],
];

for (const [what, uid, connections, goes] of CASES) {
  Deno.test(`roomFor(): ${what}`, () => {
    const { refused, victim } = roomFor(uid, connections, OWN);
    assert.equal(refused ? "the newcomer" : victim?.name ?? "nobody", goes);
  });
}
