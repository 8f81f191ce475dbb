/** Changes that are taken back by themselves unless they are confirmed. */
import assert from "node:assert/strict";
import { CHAT, GAME, Rig, SETTLED_MS, text } from "../../tests/support/reload_rig.ts";
import { SteerError } from "../errors.ts";
import type { Rule } from "../steering/rule.ts";
import { UnconfirmedError } from "./reload_types.ts";

const DNS = "{ name: dns, ports: 53 }";
const BOTH = text(GAME, CHAT);
const ALL = text(GAME, CHAT, DNS);

const names = ({ steering }: Rig): string[] => steering.steering.rules.map(({ name }) => name);
/** Without the rule of ports. */
const without = (name: string) => (rules: readonly Rule[]): Rule[] => rules.filter((rule) => rule.name !== name);
const held = (rig: Rig): number | undefined => rig.reloader.file.unconfirmed?.secondsLeft;

async function passing<T>(rig: Rig, work: Promise<T>, ms = SETTLED_MS): Promise<T> {
  const [done] = await Promise.all([work, rig.steering.timers.pass(ms)]);
  return done;
}

Deno.test("a change over the socket is taken back when its time is over, and stays when it is confirmed", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { timers } } = rig;
  const { confirmWithin } = await reloader.applyText(BOTH, "request body", { confirm: 60 });
  assert.equal(confirmWithin, 60);
  assert.deepEqual(names(rig), ["game", "chat"]);
  assert.deepEqual(reloader.file.unconfirmed, {
    changes: ["+ chat: ports 9090, worker hash, action count"],
    seconds: 60,
    secondsLeft: 60,
  });
  await timers.pass(59_000);
  assert.deepEqual([names(rig), held(rig)], [["game", "chat"], 1]);
  await timers.pass(1000);
  assert.deepEqual([names(rig), reloader.file.unconfirmed, reloader.file.unsaved], [["game"], null, []]);
  assert.equal(reloader.file.refused, null);
  await assert.rejects(() => reloader.confirm(), /^SteerError: No change waits for a confirmation/);

  await reloader.applyText(BOTH, "request body", { confirm: 60 });
  assert.deepEqual(await reloader.confirm(), {
    changes: ["+ chat: ports 9090, worker hash, action count"],
    saved: false,
  });
  await timers.pass(100_000);
  assert.deepEqual([names(rig), reloader.file.unconfirmed], [["game", "chat"], null]);
  const unchanged = await reloader.applyText(BOTH, "request body", { confirm: 60 });
  assert.deepEqual([unchanged.confirmWithin, reloader.file.unconfirmed], [undefined, null], "nothing to take back");
});

Deno.test("a file that nobody confirms stays as it is, is told to be refused, and a reload puts it in force for good", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { timers } } = rig;
  await rig.write(BOTH);
  await passing(rig, reloader.reloadFile("reload", { confirm: 60 }));
  assert.deepEqual(names(rig), ["game", "chat"]);
  await timers.pass(60_000);
  assert.deepEqual(names(rig), ["game"]);
  assert.match(
    reloader.file.refused!.message,
    /^it was in force for 60 s, and was taken back since nobody confirmed it/,
  );
  assert.equal(await Deno.readTextFile(rig.file), BOTH);
  await rig.look();
  assert.deepEqual(names(rig), ["game"], "it was not saved since");
  await passing(rig, reloader.reloadFile("reload"));
  assert.deepEqual([names(rig), reloader.file.refused, reloader.file.unsaved], [["game", "chat"], null, []]);
});

Deno.test("while a change waits, others are refused and saves are held, but one that is to be confirmed too", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { timers } } = rig;
  await reloader.applyText(BOTH, "request body", { confirm: 60 });
  for (
    const other of [
      () => reloader.applyText(ALL, "request body"),
      () => reloader.changeRules(without("game"), false),
      () => passing(rig, reloader.reloadFile("reload")),
    ]
  ) await assert.rejects(other, (error) => error instanceof UnconfirmedError && /xdpsteer confirm/.test(error.hint!));
  assert.deepEqual((await reloader.applyText(ALL, "request body", { dryRun: true })).changes.length, 1, "only asked");
  await timers.pass(30_000);
  await reloader.applyText(ALL, "request body", { confirm: 40 });
  assert.equal(held(rig), 40, "anew");
  // Saved meanwhile: by and by.
  await rig.write(text(GAME, DNS));
  await rig.look();
  assert.equal(await rig.reloader.reloadFile("signal"), undefined);
  assert.deepEqual(names(rig), ["game", "chat", "dns"]);
  await timers.pass(39_000);
  assert.deepEqual(names(rig), ["game", "chat", "dns"]);
  await timers.pass(1000);
  await timers.pass(SETTLED_MS);
  assert.deepEqual(names(rig), ["game", "dns"], "what was before both, then what was saved");
  assert.deepEqual([reloader.file.refused, reloader.file.unsaved], [null, []]);
});

Deno.test("a save meanwhile counts after a confirmation, too", async () => {
  await using rig = await Rig.create();
  await rig.reloader.applyText(BOTH, "request body", { confirm: 60 });
  await rig.write(ALL);
  await rig.look();
  assert.deepEqual(names(rig), ["game", "chat"]);
  await rig.reloader.confirm();
  await rig.steering.timers.pass(SETTLED_MS);
  assert.deepEqual(names(rig), ["game", "chat", "dns"]);
});

Deno.test("--save is done with the confirmation, and not before", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { timers } } = rig;
  await rig.write(ALL);
  await passing(rig, reloader.reloadFile("reload"));
  await reloader.changeRules(without("chat"), true, { confirm: 60 });
  assert.deepEqual([names(rig), await Deno.readTextFile(rig.file)], [["game", "dns"], ALL]);
  await timers.pass(60_000);
  assert.deepEqual([names(rig), await Deno.readTextFile(rig.file)], [["game", "chat", "dns"], ALL]);
  assert.deepEqual([reloader.file.refused, reloader.file.unsaved], [null, []]);

  await reloader.changeRules(without("chat"), true, { confirm: 60 });
  await reloader.changeRules(without("dns"), true, { confirm: 60 });
  assert.equal((await reloader.confirm()).saved, true);
  assert.match(await Deno.readTextFile(rig.file), /steering: \[\{ name: game, ports: 7777 \}\]/);
  assert.deepEqual(reloader.file.unsaved, []);
  await rig.look();
  assert.equal(reloader.counts.refused, 0);
});

Deno.test("what was confirmed and cannot be saved stays in force, and says why", async () => {
  await using rig = await Rig.create();
  const { reloader } = rig;
  await rig.write(BOTH);
  await passing(rig, reloader.reloadFile("reload"));
  await reloader.changeRules(without("chat"), true, { confirm: 60 });
  await rig.write("nonsense: [");
  const { saved, reason } = await reloader.confirm();
  assert.equal(saved, false);
  assert.ok(reason !== undefined && reason.length > 0);
  assert.deepEqual([names(rig), await Deno.readTextFile(rig.file)], [["game"], "nonsense: ["]);
});

Deno.test("what cannot be taken back is tried again", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { timers, steering } } = rig;
  await reloader.applyText(BOTH, "request body", { confirm: 5 });
  const { apply } = steering;
  let failures = 0;
  steering.apply = () => Promise.reject(new SteerError(`no memory ${++failures}`));
  await timers.pass(6500);
  assert.deepEqual([failures, names(rig), held(rig)], [2, ["game", "chat"], 0]);
  steering.apply = apply;
  await timers.pass(1000);
  assert.deepEqual([names(rig), reloader.file.unconfirmed], [["game"], null]);
});

Deno.test("a process that ends takes nothing back", async () => {
  await using rig = await Rig.create();
  await rig.reloader.applyText(BOTH, "request body", { confirm: 5 });
  rig.reloader[Symbol.dispose]();
  await rig.steering.timers.pass(10_000);
  assert.deepEqual(names(rig), ["game", "chat"]);
});
