import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import type { Answer, Question } from "./question.ts";
import { Questions } from "./questions.ts";

const QUESTION: Question = { method: "GET", url: "/", ifMatch: undefined, body: new Uint8Array(), mayChange: false };
const ANSWER: Answer = { status: 200, headers: {}, body: "" };

/** Questions, and what came of them. */
class Rig {
  readonly timers = new FakeTimers();
  readonly posted: [id: number, url: string][] = [];
  readonly told: string[] = [];
  readonly questions = new Questions({
    post: (id, { url }) => void this.posted.push([id, url]),
    rest: 3,
    answerMs: 5000,
    timers: this.timers,
  });

  ask(url: string, client: string, apartMs?: number): void {
    const answered = (answer: Answer | undefined): void => void this.told.push(`${client} ${answer?.status}`);
    this.questions.ask(url, { ...QUESTION, url }, answered, apartMs);
  }

  /** Answers what was asked last. */
  answer(tookMs: number): void {
    assert.equal(this.questions.answer(this.posted.at(-1)![0], ANSWER, tookMs), true);
  }

  get urls(): string[] {
    return this.posted.map(([, url]) => url);
  }
}

Deno.test("Questions asks one at a time, once for all who want the same, and never tells what is older than a request", async () => {
  const rig = new Rig();
  rig.ask("/metrics", "one");
  assert.deepEqual(rig.urls, ["/metrics"]);
  // The answer under way may be older than these.
  for (const client of ["two", "three"]) rig.ask("/metrics", client);
  rig.ask("/readyz", "four");
  rig.answer(0);
  assert.deepEqual(rig.told, ["one 200"]);
  await rig.timers.pass(0);
  assert.deepEqual(rig.urls, ["/metrics", "/metrics"]);
  rig.answer(0);
  assert.deepEqual(rig.told, ["one 200", "two 200", "three 200"]);
  await rig.timers.pass(0);
  assert.deepEqual(rig.urls.slice(2), ["/readyz"]);
  assert.equal(rig.questions.answer(-1, ANSWER, 0), false);
});

Deno.test("Questions leaves the control thread alone for three times as long as it took to answer", async () => {
  const rig = new Rig();
  for (let second = 0; second < 10; second++) rig.ask(`/${second}`, "one");
  let busyMs = 0;
  while (rig.told.length < 10) {
    const before = rig.posted.length;
    rig.answer(20);
    busyMs += 20;
    await rig.timers.pass(59);
    assert.equal(rig.posted.length, before);
    await rig.timers.pass(1);
  }
  assert.ok(rig.timers.now() >= 3 * busyMs);
});

Deno.test("Questions tells those who have waited for too long that there is no answer, and asks nothing for them", async () => {
  const rig = new Rig();
  rig.ask("/metrics", "one");
  rig.ask("/status", "two");
  await rig.timers.pass(4000);
  rig.ask("/readyz", "three");
  await rig.timers.pass(1500);
  assert.deepEqual(rig.told.toSorted(), ["one undefined", "two undefined"]);
  rig.answer(0); // late
  await rig.timers.pass(0);
  assert.deepEqual(rig.urls, ["/metrics", "/readyz"]);
  rig.answer(0);
  assert.deepEqual(rig.told.slice(2), ["three 200"]);
  rig.questions[Symbol.dispose]();
  assert.equal(rig.timers.count, 0);
});

Deno.test("Questions asks for what is to be apart once in that time, for all who have come; others do not wait for it", async () => {
  const rig = new Rig();
  rig.ask("/metrics", "one", 100);
  rig.answer(1);
  for (const client of ["two", "three"]) rig.ask("/metrics", client, 100);
  await rig.timers.pass(50);
  assert.deepEqual(rig.urls, ["/metrics"]);
  rig.ask("/readyz", "four");
  rig.answer(1);
  assert.deepEqual(rig.told, ["one 200", "four 200"]);
  await rig.timers.pass(49);
  assert.deepEqual(rig.urls, ["/metrics", "/readyz"]);
  await rig.timers.pass(1);
  rig.answer(1);
  assert.deepEqual(rig.told.slice(2), ["two 200", "three 200"]);
  await rig.timers.pass(200);
  rig.ask("/metrics", "five", 100);
  assert.equal(rig.urls.length, 4, "nobody waits after a pause");
  rig.questions[Symbol.dispose]();
  assert.equal(rig.timers.count, 0);
});

Deno.test("Questions asks first for what is to be answered at once, and after each of it for something else", async () => {
  const rig = new Rig();
  for (const path of ["/v1/ports", "/v1/status", "/v1/sources"]) rig.ask(path, path, 100);
  rig.ask("/livez", "probe");
  rig.ask("/readyz", "probe");
  for (let answers = 0; answers < 5; answers++) {
    rig.answer(0);
    await rig.timers.pass(0);
  }
  assert.deepEqual(rig.urls, ["/v1/ports", "/livez", "/v1/status", "/readyz", "/v1/sources"]);
  rig.questions[Symbol.dispose]();
  assert.equal(rig.timers.count, 0);
});
