import assert from "node:assert/strict";
import { EndedProblems } from "./ended.ts";
import type { Problem } from "./kinds.ts";

const problem = (name: string, since = "1970-01-01T00:00:00.000Z"): Problem => ({
  ...{ kind: "packets_lost", severity: "warning", subject: { kind: "queue", name }, since },
  ...{ message: `${name} loses packets`, fix: null, detail: "more", stops: null },
});

Deno.test("EndedProblems keeps the last of each kind and subject for five minutes, and twenty at most", () => {
  const ended = new EndedProblems();
  for (const ms of [1000, 2000, 3000]) ended.add([problem("a", new Date(ms - 500).toISOString())], new Date(ms));
  ended.add([problem("b")], new Date(4000));
  const told = (ms: number): unknown =>
    ended.list(new Date(ms)).map(({ subject, times, since, ended, endedSecondsAgo }) => [
      ...[subject.name, times, since, ended],
      endedSecondsAgo,
    ]);
  assert.deepEqual(told(63_000), [
    ["b", 1, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:04.000Z", 59],
    ["a", 3, "1970-01-01T00:00:02.500Z", "1970-01-01T00:00:03.000Z", 60],
  ]);
  assert.ok(!("detail" in ended.list(new Date(4000))[0]!));
  assert.deepEqual((told(303_001) as unknown[][]).map(([name]) => name), ["b"]);
  const many = Array.from({ length: 100 }, (_, index) => problem(`${index}`));
  ended.add(many, new Date(303_001));
  assert.deepEqual([ended.list(new Date(303_001)).length, ended.list(new Date(303_001))[0]!.subject.name], [20, "99"]);
  assert.deepEqual(told(700_000), []);
});
