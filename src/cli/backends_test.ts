import assert from "node:assert/strict";
import { outcome } from "./backends.ts";

Deno.test("outcome() has words for one session and for several", () => {
  const of = (action: "drain" | "move", sessions: number): string =>
    outcome(action, { sessions, drain: null, rules: ["web"] });
  assert.equal(of("drain", 1), "takes no new sessions; it has 1 session, which ends by itself");
  assert.equal(of("drain", 2), "takes no new sessions; it has 2 sessions, which end by themselves");
  assert.equal(of("move", 1), "takes no new sessions; its 1 session goes to others with its client's next packet");
  assert.equal(
    of("move", 2),
    "takes no new sessions; its 2 sessions go to others with the next packets of their clients",
  );
});

Deno.test("outcome() of undrain says where a backend takes no sessions still, and why", () => {
  const of = (by: "file" | "weight" | null): string => {
    const drain = by === null ? null : { by, since: null, until: null, movedTo: null };
    return outcome("undrain", { sessions: 1, drain, rules: by === "file" ? [] : ["web"] });
  };
  assert.equal(of(null), "takes new sessions again");
  assert.equal(of("file"), "is only kept for the sessions it has");
  assert.equal(of("weight"), "takes no new sessions still, since the file gives it weight: 0");
});
