import assert from "node:assert/strict";
import type { BackendStatus } from "../backends/status.ts";
import type { NoWay } from "../backends/way.ts";
import { QUIET_BACKEND } from "../../tests/support/backend_status.ts";
import { backendWords, mostUrgentFirst } from "./backend_words.ts";

const NEXT_HOP = { interface: "eth1", mac: "02:00:00:00:00:01", mtu: 1500 };
const STATUS: BackendStatus = {
  name: "10.0.0.1:53",
  rules: ["dns", "more"],
  sessions: 7,
  ...QUIET_BACKEND,
  health: null,
  nextHop: NEXT_HOP,
  noWay: null,
};

const DRAIN = { by: "file", since: null, until: null, movedTo: null } as const;

Deno.test("backendWords() says of a way what is true of it: not attached is not the same as not listed", () => {
  const of = (kind: NoWay["kind"], nextHop: BackendStatus["nextHop"] = null): string[] => {
    const { via, mark } = backendWords({ ...STATUS, nextHop, noWay: { kind, interface: "eth1", text: "" } });
    return [via, mark];
  };
  assert.deepEqual(of("not_attached"), ["eth1: NOT ATTACHED", "bad"]);
  assert.deepEqual(of("not_steered"), ["eth1: NOT STEERED", "bad"]);
  assert.deepEqual(of("not_steered", NEXT_HOP), ["eth1: NOT STEERED", "bad"], "behind too many VLAN tags");
  assert.deepEqual(of("no_route"), ["NO ROUTE", "bad"]);
  assert.deepEqual(of("down", NEXT_HOP), ["eth1 (DOWN)", "bad"]);
  assert.deepEqual(of("no_neighbour", { ...NEXT_HOP, mac: null }), ["eth1", "bad"]);
  assert.equal(backendWords({ ...STATUS, nextHop: { ...NEXT_HOP, mac: null } }).nextHop, "unknown");
});

Deno.test("backendWords() tells rules, health and sessions, and since when a backend has been leaving", () => {
  const { rules, health, via, sessions, mark } = backendWords(STATUS);
  assert.deepEqual({ rules, health, via, sessions, mark }, {
    ...{ rules: "dns,more", health: "not checked", via: "eth1", sessions: 7, mark: "good" },
  });
  const leaving = backendWords({ ...STATUS, rules: [], leavingSeconds: 12, drain: DRAIN });
  assert.deepEqual([leaving.rules, leaving.mark], ["(leaving for 12 s)", "leaving"]);
  const weightless = backendWords({ ...STATUS, drain: { ...DRAIN, by: "weight" } });
  assert.equal(weightless.why, "not checked; it has weight: 0");
});

Deno.test("backendWords() says what each rule finds where rules with several checks find several things", () => {
  const findings = [
    { rules: ["dns", "more"], healthy: true, reason: "answered" },
    { rules: ["game"], healthy: false, reason: "no answer in 500 ms" },
  ];
  assert.equal(
    backendWords({ ...STATUS, rules: ["dns", "more", "game"], findings }).why,
    "rules dns, more: answered; rule game: no answer in 500 ms",
  );
});

Deno.test("mostUrgentFirst() puts what gets no packets and what is leaving before the rest", () => {
  const named = (name: string, more: Partial<BackendStatus> = {}): BackendStatus => ({ ...STATUS, name, ...more });
  const noWay: NoWay = { kind: "no_route", interface: null, text: "" };
  const all = [named("a"), named("b", { leavingSeconds: 1, drain: DRAIN }), named("c"), named("d", { noWay })];
  assert.deepEqual(mostUrgentFirst(all).map(({ name }) => name), ["d", "b", "a", "c"]);
});
