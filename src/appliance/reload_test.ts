import assert from "node:assert/strict";
import { LogRecords } from "../../tests/support/log_records.ts";
import { CHAT, GAME, Rig, SETTLED_MS, text } from "../../tests/support/reload_rig.ts";
import { TABLE } from "../dataplane/control_words.ts";
import type { Rule } from "../steering/rule.ts";
import type { Asker, Conditions } from "./reload_types.ts";
import type { Applied } from "./steering.ts";

Deno.test("Reloader tries a file again that was refused since a worker hung, and puts it in force when that is over", async () => {
  await using rig = await Rig.create();
  const { steering: { workers, steering }, reloader } = rig;
  await rig.write(text(GAME, CHAT));
  workers.hung.add(TABLE.rules);
  for (let turn = 1; turn <= 2; turn++) {
    assert.match(await rig.look() as string, /A worker has not answered/);
    assert.deepEqual(reloader.counts, { applied: 0, unchanged: 0, refused: turn });
  }
  assert.deepEqual([steering.generation, reloader.config.steering.length], [1, 1]);
  workers.hung.clear();
  await rig.look();
  assert.deepEqual([steering.generation, reloader.config.steering.length], [2, 2]);
  assert.deepEqual(reloader.last, {
    time: "1970-01-01T00:00:00.600Z",
    result: "applied",
    message: "+ chat: ports 9090, worker hash, action count",
  });
  assert.equal(await rig.look(), undefined);
  assert.deepEqual(reloader.counts, { applied: 1, unchanged: 0, refused: 2 });
});

Deno.test("Reloader refuses a file once for what it holds", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { steering } } = rig;
  const bad = { "nonsense: 1": /unknown key/, "control: { socket: /run/x.sock }": /^control\.socket cannot change/ };
  let refused = 0;
  for (const [line, says] of Object.entries(bad)) {
    await rig.write(`${text(GAME, CHAT)}${line}\n`);
    assert.match(await rig.look() as string, says);
    assert.equal(await rig.look(), undefined);
    assert.equal(reloader.counts.refused, ++refused);
  }
  await Deno.remove(rig.file);
  assert.match(await rig.look() as string, /does not exist/);
  assert.equal(await rig.look(), undefined);
  assert.equal(reloader.counts.refused, ++refused);
  assert.equal(steering.generation, 1);
  assert.equal(rig.manager.at(-1), "Generation 1 is in force");
  assert.match(reloader.file.refused!.message, /does not exist/);
  await rig.write(text(GAME));
  await rig.look();
  assert.equal(reloader.file.refused, null);
});

Deno.test("Reloader knows what of the rules in force is not in the file", async () => {
  await using rig = await Rig.create();
  const { reloader } = rig;
  const to = (worker: number) => (rules: readonly Rule[]): Rule[] => rules.map((rule) => ({ ...rule, worker }));
  await reloader.changeRules(to(1), false);
  assert.deepEqual(reloader.file.unsaved, ["~ game: worker hash -> 1"]);
  await reloader.changeRules((rules) => rules.map((rule) => ({ ...rule, worker: "hash" })), false);
  assert.deepEqual(reloader.file.unsaved, [], "undone by hand");
  await reloader.applyText(text(CHAT), "request body");
  assert.equal(reloader.file.unsaved.length, 2);
  const reload = reloader.reloadFile("reload");
  await rig.steering.timers.pass(SETTLED_MS);
  await reload;
  assert.deepEqual(reloader.file.unsaved, []);
  await reloader.changeRules(to(0), true);
  assert.deepEqual(reloader.file.unsaved, []);
  await reloader.changeRules(to(1), false, { dryRun: true });
  assert.deepEqual(reloader.file.unsaved, []);
});

Deno.test("Reloader takes a request with mistakes for its sender's matter, and a file with mistakes for the box's", async () => {
  await using rig = await Rig.create();
  using log = new LogRecords();
  const to = (worker: number) => (rules: readonly Rule[]): Rule[] => rules.map((rule) => ({ ...rule, worker }));
  const levels = (): string[] => log.records.map(({ level }) => level);
  await assert.rejects(rig.reloader.applyText(text("{ name: x }"), "request body"));
  await assert.rejects(rig.reloader.changeRules(to(9), true));
  assert.deepEqual([levels(), rig.reloader.file.refused], [["warning", "warning"], null]);
  await rig.write(text("{ name: x }"));
  await rig.look();
  assert.equal(levels().at(-1), "error");
  assert.match(rig.reloader.file.refused!.message, /steering\.yaml/);
  await rig.reloader.applyText(text(GAME), "request body");
  assert.notEqual(rig.reloader.file.refused, null, "the file is as bad as before");
});

Deno.test("Reloader counts what changes nothing as unchanged, and a new order as a change", async () => {
  await using rig = await Rig.create();
  const { reloader } = rig;
  await rig.write(`# a comment\n${text(GAME)}`);
  await rig.look();
  await rig.write(text(GAME, CHAT));
  await rig.look();
  await rig.write(text(CHAT, GAME));
  await rig.look();
  assert.deepEqual(reloader.counts, { applied: 2, unchanged: 1, refused: 0 });
  assert.deepEqual([reloader.last!.message, rig.steering.steering.generation], ["~ the order of the rules", 3]);
});

Deno.test("Reloader and Steering share one queue: a change of health in the middle of a reload comes after it", async () => {
  await using rig = await Rig.create();
  const { queue, steering } = rig.steering;
  const generations: number[] = [];
  const reload = rig.reloader.applyText(text(GAME, CHAT), "request body");
  await queue.run(() => Promise.resolve(void generations.push(steering.generation)));
  await reload;
  assert.deepEqual(generations, [2]);
});

Deno.test("Reloader holds nothing open after a change that was saved, refused, or only tried", async () => {
  await using rig = await Rig.create();
  const held = (): number =>
    [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
      try {
        return Deno.readLinkSync(`/proc/self/fd/${name}`) === rig.directory;
      } catch {
        return false; // the descriptor by which the list was read
      }
    }).length;
  const swap = (worker: number) => (rules: readonly Rule[]): Rule[] => rules.map((rule) => ({ ...rule, worker }));
  const before = held();
  for (const worker of [1, 0]) await rig.reloader.changeRules(swap(worker), true);
  await rig.reloader.changeRules(swap(1), true, { dryRun: true });
  await assert.rejects(rig.reloader.changeRules(swap(7), true));
  await rig.write(text(GAME, CHAT));
  await assert.rejects(rig.reloader.changeRules(swap(1), true), /differs from the active configuration/);
  assert.equal(held(), before);
});

Deno.test("Reloader says what has put in force what is there already, and when", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { timers } } = rig;
  const ask = async (): Promise<unknown> => {
    const reload = reloader.reloadFile("reload");
    await timers.pass(SETTLED_MS);
    const { generation, inForce } = (await reload)!;
    return [generation, inForce?.by, inForce?.secondsAgo];
  };
  assert.deepEqual(await ask(), [1, "start", 0.2]);
  await rig.write(text(GAME, CHAT));
  await rig.look();
  await timers.pass(300);
  assert.deepEqual(await ask(), [2, "watch", 0.5]);
  await reloader.changeRules((rules) => rules.slice(0, 1), true);
  const { inForce } = await reloader.changeRules((rules) => [...rules], false);
  assert.deepEqual(inForce, { by: "request", since: "1970-01-01T00:00:00.900Z", secondsAgo: 0 });
  await rig.write(text(GAME, CHAT));
  assert.deepEqual(await ask(), [4, undefined, undefined], "it was this one");
});

Deno.test("Reloader tries the file without applying it, and only on top of the generation that is asked for", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { steering, timers } } = rig;
  await rig.write(text(GAME, CHAT));
  const ask = async (asker: Asker, conditions: Conditions): Promise<Applied | undefined> => {
    const reload = reloader.reloadFile(asker, conditions);
    reload.catch(() => {});
    await timers.pass(SETTLED_MS);
    return await reload;
  };
  const tried = await ask("reload", { dryRun: true });
  assert.deepEqual(tried, {
    generation: 1,
    changes: ["+ chat: ports 9090, worker hash, action count"],
    elapsedMs: 0,
    warnings: [],
  });
  await assert.rejects(ask("reload", { generations: [2] }), /Generation 1 is in force, and not the one/);
  await Deno.remove(rig.file);
  await assert.rejects(ask("reload", { dryRun: true }), /does not exist/);
  assert.deepEqual([reloader.counts, rig.manager], [{ applied: 0, unchanged: 0, refused: 0 }, []]);
  await rig.write(text(GAME, CHAT));
  await ask("watch", { generations: [1] });
  assert.equal(steering.generation, 2);
});

Deno.test("what is odd about a configuration is answered, whichever way it came; of rules that are changed, what is new", async () => {
  await using rig = await Rig.create();
  const { reloader } = rig;
  const empty = /there is no rule under steering: run would pass every packet to the kernel stack/;
  assert.match((await reloader.applyText(text(), "body", { dryRun: true })).warnings.join(), empty);
  assert.match((await reloader.applyText(text(), "body")).warnings.join(), /^body:\d+:\d+: there is no rule/);
  assert.deepEqual((await reloader.applyText(text(GAME), "body")).warnings, []);

  assert.match((await reloader.changeRules(() => [], false)).warnings.join(), empty);
  assert.deepEqual((await reloader.changeRules(() => [], false)).warnings, []);

  await rig.write(text());
  const reloaded = reloader.reloadFile("reload");
  await rig.steering.timers.pass(SETTLED_MS);
  assert.match((await reloaded)!.warnings.join(), empty);
});
