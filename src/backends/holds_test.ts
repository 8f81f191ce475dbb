import assert from "node:assert/strict";
import { messageOf } from "../errors.ts";
import type { NameStatus } from "./names/names.ts";
import { type HoldOrder, orderHold } from "./holds.ts";

const STATUS: Omit<NameStatus, "name" | "backends"> = { error: null, lastSuccess: null, againSeconds: 1 };

/** What is said of an order where nothing forwards, but names mean something. */
function refusalOf(order: HoldOrder): { readonly message: string; readonly hint: unknown } {
  const names: NameStatus[] = [
    { ...STATUS, name: "two.test:9", backends: ["10.0.0.1:9", "10.0.0.2:9"] },
    { ...STATUS, name: "one.test:9", backends: ["10.0.0.1:9"] },
    { ...STATUS, name: "_none._udp.test", backends: [], error: "no answer" },
  ];
  const known = { backends: new Map(), rules: [], holds: new Map(), names };
  try {
    orderHold(known, order, "2026-01-01T00:00:00Z");
  } catch (error) {
    return { message: messageOf(error), hint: (error as { readonly hint?: unknown }).hint };
  }
  return assert.fail("it was followed");
}

Deno.test("orderHold() says which backends a name means, for it acts on backends", () => {
  const said: Readonly<Record<string, string>> = {
    "two.test:9": "it means 10.0.0.1:9; 10.0.0.2:9 now: give one of these",
    "one.test:9": "it means 10.0.0.1:9 now: give that",
    "_none._udp.test": "it means no backend now: no answer",
  };
  for (const [name, hint] of Object.entries(said)) {
    assert.deepEqual(refusalOf({ name, action: "drain" }), { message: `"${name}" is a name, and no backend`, hint });
  }
  assert.equal(
    refusalOf({ name: "other.test:9", action: "drain" }).message,
    'There is no backend "other.test:9" (no rule forwards)',
  );
});
