import assert from "node:assert/strict";
import { judgeTc } from "./delivery.ts";

Deno.test("judgeTc() wants tcx, or clsact with BPF filters", () => {
  const clsact = ["NET_SCH_INGRESS", "NET_CLS_BPF", "NET_CLS_ACT"];
  const of = (options: readonly string[] | undefined, tcx: boolean): string =>
    judgeTc(options && new Set(options), tcx).status;
  assert.equal(of(["NET_XGRESS"], true), "ok");
  assert.equal(of(clsact, true), "ok");
  assert.equal(of(clsact, false), "ok");
  assert.equal(of(undefined, true), "ok");
  assert.equal(of(undefined, false), "warning");
  assert.equal(of(["NET_XGRESS"], false), "problem");
  const { text } = judgeTc(new Set(["NET_SCH_INGRESS"]), false);
  assert.match(text, /neither tcx nor CONFIG_NET_CLS_BPF=y, CONFIG_NET_CLS_ACT=y$/);
});
