import assert from "node:assert/strict";
import { SteerError } from "../errors.ts";
import { BackendRows } from "./rows.ts";

const named = (...names: string[]): Set<string> => new Set(names);

Deno.test("BackendRows: a backend keeps its row and generation while it is named, and when it comes back", () => {
  const rows = new BackendRows(5);
  rows.plan(named("a", "b"), 0).flip();
  const [a, b] = [rows.all.get("a")!, rows.all.get("b")!];
  assert.notEqual(a.row, b.row);
  rows.plan(named("b", "c"), 10).flip();
  assert.deepEqual(rows.all.get("b"), b);
  assert.deepEqual(rows.all.get("a"), { ...a, leftMs: 10 });
  rows.plan(named("b"), 20).flip();
  assert.equal(rows.all.get("a")!.leftMs, 10);
  rows.plan(named("a"), 30).flip();
  assert.deepEqual(rows.all.get("a"), a);
});

Deno.test("BackendRows: a row that was given back has another generation for its next backend", () => {
  const rows = new BackendRows(3);
  rows.plan(named("a", "b"), 0).flip();
  const a = rows.all.get("a")!;
  for (let change = 0; change < 10; change++) rows.plan(named("b"), change).flip();
  assert.throws(() => rows.plan(named("b", "c"), 20), SteerError);
  assert.equal(rows.all.get("b")!.leftMs, undefined, "nothing has changed");
  rows.release(["a"]);
  assert.equal(rows.free, 1);
  rows.plan(named("b", "c"), 21).flip();
  const c = rows.all.get("c")!;
  assert.equal(c.row, a.row);
  assert.notEqual(c.generation, a.generation);
});

Deno.test("BackendRows: a plan changes nothing before it flips, and nothing when it is taken back", () => {
  const rows = new BackendRows(5);
  rows.plan(named("a"), 0).flip();
  const before = rows.all;
  const plan = rows.plan(named("b"), 5);
  assert.equal(rows.all, before);
  plan.flip();
  assert.deepEqual([...rows.all.keys()], ["a", "b"]);
  plan.back();
  assert.equal(rows.all, before);
});
