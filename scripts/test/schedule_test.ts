import assert from "node:assert/strict";
import { type Node, schedule, withNeeded } from "./schedule.ts";

/** Runs stages that take a turn of the event loop each. @returns what happened, in order. */
async function log(stages: readonly Node[], lanes: number, fails: readonly string[] = []): Promise<string[]> {
  const lines: string[] = [];
  let running = 0;
  await schedule(stages, lanes, {
    run: async ({ name }) => {
      lines.push(`${name} starts${running > 0 ? ` beside ${running}` : ""}`);
      running++;
      await new Promise((resolve) => setTimeout(resolve, 1));
      running--;
      lines.push(`${name} ends`);
      return !fails.includes(name);
    },
    cannotRun: ({ name }, cause) => lines.push(`${name} cannot run: ${cause}`),
  });
  return lines;
}

Deno.test("stages run in their order, as many at once as there are lanes", async () => {
  const stages = ["a", "b", "c"].map((name) => ({ name }));
  assert.deepEqual(await log(stages, 1), ["a starts", "a ends", "b starts", "b ends", "c starts", "c ends"]);
  assert.deepEqual((await log(stages, 2)).slice(0, 2), ["a starts", "b starts beside 1"]);
  assert.equal((await log(stages, 2)).length, 6);
});

Deno.test("a stage waits for what it needs, and does not run if that failed", async () => {
  const stages = [
    { name: "e2e", after: ["compile"] },
    { name: "check", after: ["root"], afterEnd: ["e2e"] },
    { name: "root", after: ["compile"] },
    { name: "compile" },
    { name: "lint" },
  ];
  const good = await log(stages, 1);
  const at = (line: string): number => good.indexOf(line);
  assert.ok(at("compile ends") < at("e2e starts") && at("e2e ends") < at("check starts"), good.join("\n"));
  const bad = await log(stages, 2, ["compile"]);
  for (const line of ["e2e cannot run: compile", "root cannot run: compile", "check cannot run: root", "lint ends"]) {
    assert.ok(bad.includes(line), bad.join("\n"));
  }
  const failed = await log(stages, 1, ["e2e"]);
  assert.ok(failed.indexOf("e2e ends") < failed.indexOf("check starts"), "it waits for the end only");
});

Deno.test("an interrupted schedule starts nothing more, and waits for what runs", async () => {
  const interrupt = new AbortController();
  const started: string[] = [];
  let ended = 0;
  await schedule(["a", "b", "c"].map((name) => ({ name })), 2, {
    signal: interrupt.signal,
    run: async ({ name }) => {
      started.push(name);
      await new Promise((resolve) => setTimeout(resolve, 1));
      interrupt.abort();
      ended++;
      return true;
    },
    cannotRun: () => {},
  });
  assert.deepEqual([started, ended], [["a", "b"], 2]);
});

Deno.test("what is chosen comes with what it needs, and waits for nothing else", () => {
  const stages = [
    { name: "e2e", after: ["compile"], afterEnd: ["lint"] },
    { name: "compile", after: ["types"] },
    { name: "lint" },
    { name: "types" },
  ];
  assert.deepEqual(withNeeded(stages, [stages[0]!]), [
    { name: "e2e", after: ["compile"], afterEnd: [] },
    { name: "compile", after: ["types"] },
    { name: "types" },
  ]);
});

Deno.test("stages that cannot be ordered are refused", async () => {
  await assert.rejects(log([{ name: "a", after: ["b"] }, { name: "b", afterEnd: ["a"] }], 1), /a -> b -> a/);
  await assert.rejects(log([{ name: "a", after: ["b"] }], 1), /"a" waits for "b", which is not in the list/);
  await assert.rejects(log([{ name: "a" }, { name: "a" }], 1), /the same name/);
});
