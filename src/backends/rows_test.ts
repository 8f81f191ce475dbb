import assert from "node:assert/strict";
import { BackendRows } from "./rows.ts";

const named = (...names: string[]): Set<string> => new Set(names);

Deno.test("BackendRows: a backend keeps its row and generation while it is named, and when it comes back", () => {
  const rows = new BackendRows(4);
  assert.ok(rows.name(named("a", "b"), 0));
  const [a, b] = [rows.of("a")!, rows.of("b")!];
  assert.ok(rows.name(named("b", "c"), 10));
  assert.deepEqual(rows.of("b"), b);
  assert.ok(rows.isLeaving(a) && !rows.isLeaving(b));
  assert.equal(rows.leavingMs(a, 25), 15);
  assert.ok(rows.name(named("a"), 30));
  assert.equal(rows.of("a")!.generation, a.generation);
  assert.equal(rows.leavingMs(a, 99), 0);
});

Deno.test("BackendRows: a row is given away only when no session uses it, with another generation", () => {
  const rows = new BackendRows(2);
  assert.ok(rows.name(named("a", "b"), 0));
  const a = rows.of("a")!;
  for (let change = 0; change < 10; change++) assert.ok(rows.name(named("b"), change));
  assert.deepEqual(rows.release((row) => row === a.row), []);
  assert.equal(rows.name(named("b", "c"), 20), false, "no row is free");
  assert.ok(!rows.isLeaving(rows.of("b")!));
  assert.equal(rows.of("c"), undefined);
  assert.deepEqual(rows.release(() => false).map(({ name }) => name), ["a"]);
  assert.ok(rows.name(named("b", "c"), 21));
  const c = rows.of("c")!;
  assert.equal(c.row, a.row);
  assert.notEqual(c.generation, a.generation);
  assert.equal(rows.of("a"), undefined);
  assert.deepEqual(rows.all().map(({ name }) => name).sort(), ["b", "c"]);
});
