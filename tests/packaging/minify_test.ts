import assert from "node:assert/strict";
import { stop } from "esbuild";
import { minified } from "../../scripts/package_parts.ts";

const CODE = `
const closed = [];
const held = (name) => ({ use: () => name, [Symbol.dispose]: () => closed.push(name) });
const heldAsync = (name) => ({ use: () => name, [Symbol.asyncDispose]: async () => closed.push(name) });
function once() { using value = held("once"); return value.use(); }
function unused() { using value = held("unused"); }
function block() { { using value = held("block"); value.use(); } return closed.length; }
async function later() { await using value = heldAsync("later"); return value.use(); }
export const results = [once(), unused(), block(), await later()];
export { closed };
`;

// esbuild's own process ends some time after stop().
const options = { sanitizeOps: false, sanitizeResources: false };

Deno.test(
  "a minified module disposes of what it uses, also where that is used once or not at all",
  options,
  async () => {
    const code = await minified(CODE).finally(stop);
    assert.ok(code.length < CODE.length);
    const { results, closed } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
    assert.deepEqual(results, ["once", undefined, 3, "later"]);
    assert.deepEqual(closed, ["once", "unused", "block", "later"]);
  },
);
