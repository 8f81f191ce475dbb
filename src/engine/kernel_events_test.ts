import assert from "node:assert/strict";
import { EVENT_KIND } from "../bpf/layout.gen.ts";
import { EVENT_KINDS } from "../bpf/reasons.ts";
import { eventWords } from "./kernel_events.ts";

Deno.test("every kind of event has a sentence of its own, and one that is not known is no malformed packet", () => {
  assert.equal(EVENT_KINDS.length, EVENT_KIND.COUNT);
  const sentences = EVENT_KINDS.map(eventWords);
  assert.equal(new Set(sentences).size, EVENT_KINDS.length);
  const unknown = eventWords(EVENT_KINDS[EVENT_KIND.COUNT]);
  assert.match(unknown, /does not know/);
  assert.ok(!sentences.includes(unknown));
});
