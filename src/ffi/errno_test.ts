import assert from "node:assert/strict";
import { constants } from "node:os";
import { ERRNO, errnoName } from "./errno.ts";

Deno.test("errnoName() names each errno that node:os knows, by its usual name", () => {
  for (const [name, number] of Object.entries(constants.errno)) {
    if (name === "EWOULDBLOCK" || name === "ENOTSUP") continue; // second names of EAGAIN and EOPNOTSUPP
    assert.equal(errnoName(number), name);
  }
  for (const [name, number] of Object.entries(ERRNO)) assert.equal(errnoName(number), name);
  assert.equal(errnoName(41), "errno 41");
  assert.equal(errnoName(4095), "errno 4095");
});
