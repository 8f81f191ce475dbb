import assert from "node:assert/strict";
import type { SessionTable } from "../steering/sessions.ts";
import { Expiry } from "./expiry.ts";

Deno.test("Expiry looks by time: at more sessions the longer it was, and never at so many that packets wait", () => {
  const looks: number[] = [];
  const sessions = { expire: (_now: number, count: number) => looks.push(count) } as unknown as SessionTable;
  const expiry = new Expiry();
  assert.equal(expiry.look(sessions, 10_000), true);
  assert.equal(expiry.look(sessions, 10_001), false, "1 ms later");
  assert.equal(expiry.look(sessions, 10_002), true);
  assert.equal(expiry.look(sessions, 10_006), true);
  assert.equal(expiry.look(sessions, 20_000), true);
  assert.deepEqual(looks, [1024, 256, 512, 1024]);
});

Deno.test("Expiry is due after some turns with packets, and after a wait", () => {
  const sessions = { expire: () => {} } as unknown as SessionTable;
  const expiry = new Expiry();
  for (let turn = 1; turn < 64; turn++) {
    expiry.turn();
    assert.equal(expiry.due, false, `turn ${turn}`);
  }
  expiry.turn();
  assert.equal(expiry.due, true);
  expiry.look(sessions, 1);
  assert.equal(expiry.due, false);
  expiry.passed();
  assert.equal(expiry.due, true);
});
