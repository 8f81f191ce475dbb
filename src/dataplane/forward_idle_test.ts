import assert from "node:assert/strict";
import { Bench, bytesOf, fromBackend, fromClient } from "../../tests/support/forward_packets.ts";
import { ticksOf } from "../steering/session_row.ts";

/** As WireGuard's manual has it. */
const KEEPALIVE_S = 25;
const IDLE_S = 60; // the default of idle_timeout, and the bench's
const DAY_S = 24 * 3600;
const CAPACITY = 64;

for (const family of ["IPv4", "IPv6"] as const) {
  Deno.test(`a day of keepalives every ${KEEPALIVE_S} s, with nothing else: one session, one port, reachable at any moment: ${family}`, () => {
    const bench = new Bench({ capacity: CAPACITY });
    const { forwarder } = bench;
    let port = 0;
    for (let second = 0; second < DAY_S; second += KEEPALIVE_S) {
      forwarder.now = ticksOf(second * 1000);
      forwarder.sessions.expire(forwarder.now, CAPACITY);
      const there = bench.pass("toBackend", bytesOf(fromClient(family, { payload: new Uint8Array(32) })));
      assert.equal(there.fate, "forwarded");
      port ||= bench.session().port;
      assert.equal(bench.session().port, port, `after ${second} s`);
      // The backend has something to say just before the next one.
      forwarder.now = ticksOf((second + KEEPALIVE_S - 1) * 1000);
      forwarder.sessions.expire(forwarder.now, CAPACITY);
      const back = bench.pass("toClient", bytesOf(fromBackend(family, bench)));
      assert.equal(back.fate, "returned", `after ${second + KEEPALIVE_S - 1} s`);
    }
    assert.equal(forwarder.sessions.live, 1);
    assert.equal(forwarder.sessions.evicted, 0);
  });

  Deno.test(`a session lasts as long as idle_timeout says, in silence, and no longer: ${family}`, () => {
    for (const [silence, fate] of [[IDLE_S, "returned"], [IDLE_S + 1, "no_session"]] as const) {
      const bench = new Bench({ capacity: CAPACITY });
      const { forwarder } = bench;
      bench.pass("toBackend", bytesOf(fromClient(family)));
      const answer = bytesOf(fromBackend(family, bench));
      forwarder.now = ticksOf(silence * 1000);
      assert.equal(bench.pass("toClient", answer).fate, fate, `${silence} s`);
      forwarder.sessions.expire(forwarder.now, CAPACITY);
      assert.equal(forwarder.sessions.live, fate === "returned" ? 1 : 0);
    }
  });
}
