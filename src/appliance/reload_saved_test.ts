import assert from "node:assert/strict";
import { LogRecords } from "../../tests/support/log_records.ts";
import { CHAT, GAME, Rig, SETTLED_MS, text } from "../../tests/support/reload_rig.ts";

/** As many rules as told, each of a port. */
const rules = (count: number): string =>
  text(...Array.from({ length: count }, (_, index) => `{ name: r${index}, ports: ${7000 + index} }`));

Deno.test("Reloader puts nothing in force that was found in the middle of a save", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { steering, timers } } = rig;
  const whole = text(GAME, CHAT);
  await rig.write(whole.slice(0, -20));
  const reload = reloader.reloadFile("reload");
  await timers.pass(SETTLED_MS - 1);
  await rig.write(whole.slice(0, -10));
  await timers.pass(SETTLED_MS);
  assert.deepEqual([steering.generation, reloader.counts.refused], [1, 0]);
  await rig.write(whole);
  await timers.pass(2 * SETTLED_MS);
  assert.equal((await reload)!.generation, 2);
  assert.deepEqual(reloader.counts, { applied: 1, unchanged: 0, refused: 0 });
});

/** Saves the file again and again, each time with something else in it. */
async function saveWithoutPause(rig: Rig, pauseMs: number, times: number, content: string): Promise<void> {
  for (let turn = 0; turn < times; turn++) {
    await rig.write(`# ${turn}\n${content}`);
    await rig.steering.timers.pass(pauseMs);
  }
}

/** Puts a file in the place of the rig's that holds something else each time that it is read. */
async function neverTheSame({ file }: Rig): Promise<void> {
  await Deno.remove(file);
  await Deno.symlink("/proc/sys/kernel/random/uuid", file);
}

Deno.test("Reloader puts in force what a file holds after three seconds that is saved without a pause", async () => {
  await using rig = await Rig.create();
  using log = new LogRecords();
  const { reloader, steering: { steering, timers } } = rig;
  await rig.write(text(GAME, CHAT));
  const watched = reloader.reloadFile("watch");
  await saveWithoutPause(rig, 100, 29, text(GAME, CHAT));
  assert.equal(steering.generation, 1);
  assert.equal(await reloader.reloadFile("watch"), undefined, "one is enough");
  await saveWithoutPause(rig, 100, 4, text(GAME, CHAT));
  assert.deepEqual([steering.generation, (await watched)!.generation], [2, 2]);
  assert.match(log.lines[0]!, /^warning: The file is saved without a pause: after 3 s, what it holds now is put in/);

  await neverTheSame(rig);
  rig.says = text(GAME);
  const again = reloader.reloadFile("watch");
  await timers.pass(9999);
  assert.equal(steering.generation, 2);
  await timers.pass(50);
  assert.equal((await again)!.generation, 3);
});

Deno.test("Reloader refuses a file that is never the same twice and bad after ten seconds, and tries it again", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { steering } } = rig;
  await neverTheSame(rig);
  const reload = reloader.reloadFile("reload").catch((error: Error) => error.message);
  await rig.steering.timers.pass(10_050);
  assert.match(await reload as string, /changes all the time, and is refused as it is now: /);
  assert.deepEqual([steering.generation, reloader.counts.refused], [1, 1]);
  await Deno.remove(rig.file);
  await rig.write(text(GAME, CHAT));
  await rig.look();
  assert.equal(steering.generation, 2);
});

Deno.test("Reloader ends the check of a file that has been saved again meanwhile, and checks that one", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { steering, timers } } = rig;
  rig.slow = true; // it never comes to an end
  await rig.write(text(GAME, CHAT, "{ name: slow, ports: 1 }"));
  const reload = reloader.reloadFile("watch");
  await timers.pass(8000);
  rig.slow = false;
  await rig.write(text(GAME, CHAT));
  await timers.pass(200 + SETTLED_MS);
  assert.equal((await reload)!.generation, 2);
  assert.deepEqual([steering.rules.length, reloader.counts], [2, { applied: 1, unchanged: 0, refused: 0 }]);
});

Deno.test("Reloader puts a file that loses most of its rules in force when it still says so later", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { steering, timers } } = rig;
  const names = (): number => reloader.config.steering.length;
  await rig.write(rules(6));
  await rig.look();
  assert.equal(names(), 6);
  await rig.write(rules(3)); // half is not most
  await rig.look();
  assert.equal(names(), 3);
  await rig.write(rules(6));
  await rig.look();

  await rig.write(rules(2));
  await rig.look(10_000);
  assert.equal(names(), 2, "it still said so");

  await rig.write(rules(6));
  await rig.look();
  const { generation } = steering;
  await rig.write(rules(2));
  const suspected = reloader.reloadFile("watch");
  await timers.pass(4000);
  assert.equal(steering.generation, generation);
  assert.deepEqual(reloader.file.settling, { lost: 4, rules: 6, secondsLeft: 2 });
  await rig.write(rules(7)); // the rest has arrived
  await rig.look();
  assert.equal(names(), 7);
  await timers.pass(5000);
  assert.equal(await suspected, undefined);
  assert.deepEqual([names(), steering.generation, reloader.file.settling], [7, generation + 1, null]);
});

Deno.test("Reloader does not wait where somebody asks for a file that loses most of its rules", async () => {
  await using rig = await Rig.create();
  const { reloader, steering: { steering, timers } } = rig;
  await rig.write(rules(6));
  await rig.look();
  await rig.write(rules(1));
  const suspected = reloader.reloadFile("watch");
  await timers.pass(1000);
  assert.notEqual(reloader.file.settling, null);
  const asked = reloader.reloadFile("reload");
  await timers.pass(SETTLED_MS);
  assert.equal((await asked)!.generation, 3);
  assert.equal(reloader.file.settling, null);
  await timers.pass(10_000);
  assert.deepEqual([await suspected, steering.generation, reloader.counts.unchanged], [undefined, 3, 0]);
});

Deno.test("Reloader puts a file in force that loses most of its rules and is saved without a pause", async () => {
  await using rig = await Rig.create();
  const { reloader } = rig;
  await rig.write(rules(6));
  await rig.look();
  await rig.write(rules(1));
  const reload = reloader.reloadFile("watch");
  await saveWithoutPause(rig, 100, 115, rules(1)); // 3 s, then to settle for 5, then 3 more
  assert.equal((await reload)!.generation, 3);
});
