import assert from "node:assert/strict";
import { Picture, widthOf } from "../draw.ts";
import { PICTURES } from "../forwarding_pictures.ts";

const DOCS = new URL("../../docs/", import.meta.url);

Deno.test("the pictures of forwarding are as they are drawn, and the page shows each of them", async () => {
  const page = await Deno.readTextFile(new URL("forwarding.md", DOCS));
  for (const [name, draw] of Object.entries(PICTURES)) {
    const file = `images/${name}.svg`;
    assert.equal(await Deno.readTextFile(new URL(file, DOCS)), draw().svg(), "scripts/forwarding_pictures.ts draws it");
    assert.ok(page.includes(`(${file})`), file);
  }
});

Deno.test("a text that does not fit is refused", () => {
  const picture = new Picture(200, 100, "a picture");
  assert.throws(() => picture.box(0, 0, 60, 50, "box", "far too long for it"), /takes \d+ of 52 pixels/);
  assert.throws(() => picture.box(0, 0, 100, 20, "box", "a", "b"), /more lines than its box/);
  assert.throws(() => picture.text(190, 20, "out"), RangeError);
  assert.throws(() => widthOf("ä"), /Cannot measure/);
});
