import assert from "node:assert/strict";
import { allStages } from "./stages.ts";

Deno.test("the map of the tests has every stage that tests, and no other", async () => {
  const map = await Deno.readTextFile(new URL("../../tests/README.md", import.meta.url));
  const rows = [...map.matchAll(/^\| (\S+) +\|.*\| +\d+ \| +\d+ \|$/gm)].map(([, name]) => name!);
  const stages = allStages().filter(({ isTest }) => isTest).map(({ name }) => name);
  assert.deepEqual(stages.filter((name) => !rows.includes(name)), [], "lines that tests/README.md lacks");
  const others = rows.filter((name) => !stages.includes(name) && name !== "compile");
  assert.deepEqual(others, [], "lines of tests/README.md without a test file");
});
