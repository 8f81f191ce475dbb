/** Backends with many ports: packets keep theirs, or those of a rule's range become those of a backend's. */
import assert from "node:assert/strict";
import {
  atBackend,
  Bench,
  BOX_MAC,
  bytesOf,
  FAMILIES,
  type Family,
  fromBackend,
  fromClient,
} from "../../tests/support/forward_packets.ts";
import { BACKENDS, BOTH } from "../../tests/support/forward_way.ts";
import { BACKEND, BACKEND_RANGE, backendAt, FORWARD, forwardAt, indexBackends } from "../steering/forward_table.ts";

/** Gives all backends a range of ports. @param first 0: packets keep theirs. */
function setRange({ table }: Bench, first: number, last: number, ruleFirst: number): void {
  for (const row of [0, 1, 2, 3]) {
    const at = backendAt(row);
    table.backends[at + BACKEND.port] = 0;
    table.backends[at + BACKEND.firstPort] = first;
    table.backends[at + BACKEND.lastPort] = last;
    table.backends[at + BACKEND.flags] = table.backends[at + BACKEND.flags]! | BACKEND_RANGE;
  }
  table.forwards[forwardAt(0) + FORWARD.firstPort] = ruleFirst;
  indexBackends(table);
}

/** A request to a port of the service, and what becomes of it. */
function ask(bench: Bench, family: Family, port: number): number {
  const { destination, ...rest } = fromClient(family);
  const sent = { ...rest, destination: { ...destination, port } };
  assert.equal(bench.pass("toBackend", bytesOf(sent)).fate, "forwarded");
  const { bytes } = bench.elsewhere.pop()!;
  const at = bytes.length - sent.payload!.length - 8;
  const asked = bytes[at + 2]! << 8 | bytes[at + 3]!;
  const seen = atBackend(family, sent, bench);
  assert.deepEqual(bytes, bytesOf({ ...seen, destination: { ...seen.destination, port: asked } }), "all else as ever");
  return asked;
}

/** The fate of an answer from a port of the backend, to the client's last request. */
function answer(bench: Bench, family: Family, port: number): string {
  const { source, ...rest } = fromBackend(family, bench);
  return bench.pass("toClient", bytesOf({ ...rest, source: { ...source, port } }), BACKENDS).fate;
}

for (const family of BOTH) {
  Deno.test(`a backend without a port gets packets on the port that they came for, and answers from it: ${family}`, () => {
    for (const port of [1, 80, 255, 256, 8080, 65535]) {
      const bench = new Bench({ interface: BACKENDS });
      setRange(bench, 0, 65535, 8080);
      assert.equal(ask(bench, family, port), port);
      assert.equal(answer(bench, family, port), "returned");
      const { source } = { source: { mac: BOX_MAC, address: FAMILIES[family].service, port } };
      const { bytes } = bench.elsewhere.pop()!;
      const payload = fromBackend(family, bench).payload!;
      const at = bytes.length - payload.length - 8;
      assert.equal(bytes[at]! << 8 | bytes[at + 1]!, source.port, "the client sees the service's port");
      for (const other of [port ^ 1, port ^ 256]) assert.equal(answer(bench, family, other), "no_session");
    }
  });

  Deno.test(`a range becomes a range, and a change of it applies to the next packet: ${family}`, () => {
    const bench = new Bench({ interface: BACKENDS });
    setRange(bench, 20_000, 29_999, 8000);
    assert.equal(ask(bench, family, 8080), 20_080);
    const { port } = bench.session();
    assert.equal(answer(bench, family, 20_080), "returned");
    for (const other of [8080, 20_079, 20_081, 30_000]) assert.equal(answer(bench, family, other), "no_session");
    setRange(bench, 20_000, 29_999, 8010);
    assert.equal(answer(bench, family, 20_080), "no_session", "packets do not go there any more");
    assert.equal(ask(bench, family, 8080), 20_070);
    assert.equal(bench.session().port, port, "the session goes on");
    assert.equal(answer(bench, family, 20_070), "returned");
    bench.table.forwardOfRule.fill(0);
    assert.equal(answer(bench, family, 20_080), "returned", "the rule is gone: what is on its way may be from either");
  });

  Deno.test(`each port of the service is a session of its own, and each header is as without a range: ${family}`, () => {
    const bench = new Bench({ interface: BACKENDS, clientAddress: "proxy_v2" });
    setRange(bench, 0, 65535, 8080);
    for (const port of [8080, 8081, 8082]) {
      const { destination, ...rest } = fromClient(family);
      bench.pass("toBackend", bytesOf({ ...rest, destination: { ...destination, port } }));
      const { bytes } = bench.elsewhere.pop()!;
      const udp = 14 + (family === "IPv4" ? 20 : 40);
      assert.equal(bytes[udp + 2]! << 8 | bytes[udp + 3]!, port);
    }
    assert.equal(bench.forwarder.sessions.live, 3);
  });
}
