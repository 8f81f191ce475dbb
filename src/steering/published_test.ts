import assert from "node:assert/strict";
import { type Change, Changes, flipOf, Published, type Readers } from "./published.ts";

/** A reader that looks when it is told to. */
class Reader implements Readers {
  version = 0;
  seen = 0;

  publish(version: number): void {
    this.version = version;
  }

  look(): void {
    this.seen = this.version;
  }

  caughtUp(): Promise<void> {
    return this.seen === this.version ? Promise.resolve() : Promise.reject(new Error("it has not looked"));
  }
}

Deno.test("Published puts the half in force that was written, and gives the other out only when nobody reads it", async () => {
  const reader = new Reader();
  const halves = [["empty"], ["empty"]];
  const published = new Published(halves, reader);
  (await published.idle())[0] = "first";
  assert.deepEqual([published.version, published.current], [0, ["empty"]]);
  published.flip();
  assert.deepEqual([published.version, published.current], [1, ["first"]]);
  await assert.rejects(published.idle());
  reader.look();
  (await published.idle())[0] = "second";
  assert.deepEqual(halves, [["second"], ["first"]]);
  published.flip();
  assert.deepEqual(published.current, ["second"]);
});

Deno.test("Published flipped twice has in force what it had, and does not take a reader between the flips for an early one", async () => {
  const reader = new Reader();
  const published = new Published(["a", "b"], reader);
  const change = flipOf(published);
  change.flip();
  const between = reader.version; // it looks here, and says so late
  change.back();
  assert.deepEqual([published.current, published.version], ["a", 2]);
  await assert.rejects(published.idle(), "who has not looked since may be at b");
  reader.seen = between;
  await assert.rejects(published.idle());
  reader.look();
  assert.equal(await published.idle(), "b");
});

/** A part that notes what happens to it. */
function part(name: string, events: string[], fails = false): Change {
  return {
    flip: () => {
      if (fails) throw new Error(`${name} fails`);
      events.push(`flip ${name}`);
    },
    back: () => void events.push(`back ${name}`),
  };
}

Deno.test("Changes.flip() flips all parts in order, or none where one fails", () => {
  const events: string[] = [];
  const all = new Changes();
  for (const name of ["a", "b"]) all.add(part(name, events));
  all.flip();
  assert.deepEqual(events.splice(0), ["flip a", "flip b"]);
  all.back();
  assert.deepEqual(events.splice(0), ["back b", "back a"]);

  const some = new Changes();
  some.add(all);
  some.add(part("c", events, true));
  some.add(part("d", events));
  assert.throws(() => some.flip(), { message: "c fails" });
  assert.deepEqual(events, ["flip a", "flip b", "back b", "back a"]);
});
