import assert from "node:assert/strict";
import { normalize } from "node:path";
import fc from "fast-check";
import { normalizePath } from "./path.ts";

Deno.test("normalizePath() is normalize() of node:path", () => {
  const parts = fc.array(fc.constantFrom("a", "b.pcapng", ".", "..", "", "...", ".c"), { maxLength: 8 });
  fc.assert(fc.property(parts, (path) => assert.equal(normalizePath(path.join("/")), normalize(path.join("/")))));
});
