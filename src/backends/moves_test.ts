/** Sessions are moved only where each rule has a backend that gets them. */
import assert from "node:assert/strict";
import { FakePortTable } from "../../tests/support/fake_engine.ts";
import { forwardRule, SteeringRig } from "../../tests/support/steering_rig.ts";
import { SteerError } from "../errors.ts";
import type { HoldOrder } from "./holds.ts";

const ONE = "10.9.0.1:9000";
const TWO = "10.9.0.2:9000";
const MOVE: HoldOrder = { name: ONE, action: "move" };
const weightless = `{ address: "${TWO}", weight: 0 }`;
const rule = (to: string): string => `{ name: web, ports: 8080, action: { forward: { to: [${to}] } } }`;

/** What an order answers under these rules; undefined where it is carried out. */
async function refusal(order: HoldOrder, ...rules: readonly string[]): Promise<SteerError | undefined> {
  await using rig = new SteeringRig(new FakePortTable());
  await rig.change(...rules);
  const error: unknown = await rig.forwarding.hold(order).then(() => undefined, (error) => error);
  const status = rig.forwarding.status().find(({ name }) => name === ONE);
  assert.equal(status?.drain === null, error !== undefined, "what is refused changes nothing");
  assert.ok(error === undefined || error instanceof SteerError);
  return error;
}

Deno.test("move is refused where a rule has no backend that gets the sessions, with what helps", async () => {
  const lone = await refusal(MOVE, forwardRule("web", 8080, [1]));
  assert.equal(lone?.message, `Sessions of "${ONE}" cannot be moved: rule "web" has no other backend`);
  assert.match(lone.hint!, /backends drain 10\.9\.0\.1:9000 lets them end by themselves; .* add another backend/);
  const left = await refusal(MOVE, rule(`"${ONE}", ${weightless}`));
  assert.match(left!.message, /rule "web" has no other backend that is healthy and takes new sessions$/);
  assert.match(left!.hint!, /undrain another backend, or give it a weight$/);
  const otherFamily = await refusal(MOVE, rule(`"${ONE}", "[fd00::1]:9000"`));
  assert.match(otherFamily!.message, /has no other IPv4 backend$/);
  const ofOne = await refusal(MOVE, forwardRule("web", 8080, [1, 2]), forwardRule("dns", 53, [1]));
  assert.match(ofOne!.message, /rule "dns" has no other backend$/);
});

Deno.test("move is carried out where somebody gets the sessions: another backend, a backup, or the one that is named", async () => {
  assert.equal(await refusal(MOVE, forwardRule("web", 8080, [1, 2])), undefined);
  assert.equal(await refusal(MOVE, rule(`"${ONE}", { address: "${TWO}", backup: true }`)), undefined);
  assert.equal(await refusal({ ...MOVE, to: TWO }, rule(`"${ONE}", ${weightless}`)), undefined);
  assert.equal(await refusal({ ...MOVE, action: "drain" }, forwardRule("web", 8080, [1])), undefined);
});

Deno.test("move is refused where all other backends fail, or have had their sessions moved", async () => {
  await using rig = new SteeringRig(new FakePortTable());
  await rig.change(forwardRule("web", 8080, [1, 2], ", health: { check: udp }"));
  rig.health!.set(TWO, false);
  await rig.timers.pass(500);
  const lacks = /has no other backend that is healthy and takes new sessions$/;
  await assert.rejects(rig.forwarding.hold(MOVE), lacks);
  await assert.rejects(rig.forwarding.hold({ ...MOVE, to: TWO }), lacks);
  rig.health!.set(TWO, true);
  await rig.timers.pass(500);
  await rig.forwarding.hold(MOVE);
  await assert.rejects(rig.forwarding.hold({ name: TWO, action: "move", to: ONE }), lacks);
});

Deno.test("a backend with weight: 0 is said to have it, and stays so where undrain overrides what the file drains", async () => {
  for (
    const [settings, before, after] of [["weight: 0", "weight", "weight"], ["drain: true", "file", undefined]] as const
  ) {
    await using rig = new SteeringRig(new FakePortTable());
    await rig.change(rule(`"${ONE}", { address: "${TWO}", ${settings} }`));
    const by = (): string | undefined => rig.forwarding.status().find(({ name }) => name === TWO)?.drain?.by;
    assert.equal(by(), before);
    await rig.forwarding.hold({ name: TWO, action: "undrain" });
    assert.equal(by(), after, settings);
    await rig.forwarding.hold({ name: TWO, action: "drain" });
    assert.equal(by(), settings === "weight: 0" ? "hand" : "file");
  }
});
