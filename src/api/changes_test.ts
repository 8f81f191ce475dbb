import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { HttpError } from "./answers.ts";
import { Changes, MAX_OF_ALL, MAX_OF_ONE, type Place } from "./changes.ts";
import type { Answer, Question } from "./question.ts";

const QUESTION: Question = { method: "PUT", url: "/", ifMatch: undefined, body: new Uint8Array(), mayChange: true };
const ANSWER: Answer = { status: 200, headers: {}, body: "" };

class Rig {
  readonly timers = new FakeTimers();
  readonly posted: [id: number, url: string][] = [];
  readonly told: string[] = [];
  readonly left = new Set<string>();
  readonly changes = new Changes({
    post: (id, { url }) => void this.posted.push([id, url]),
    answerMs: 5000,
    timers: this.timers,
  });

  reserve(uid: number, url = ""): Place {
    return this.changes.reserve({ uid, hasLeft: () => this.left.has(url) });
  }

  ask(uid: number, url: string): void {
    this.reserve(uid, url).ask({ ...QUESTION, url }, (answer) => void this.told.push(`${url} ${answer?.status}`));
  }

  answer(): void {
    assert.equal(this.changes.answer(this.posted.at(-1)![0], ANSWER), true);
  }

  get urls(): string[] {
    return this.posted.map(([, url]) => url);
  }
}

const isFull = (error: unknown): boolean => error instanceof HttpError && error.status === 503;

Deno.test("Changes has few places for one user, some for all, and others for root", () => {
  const rig = new Rig();
  for (let number = 0; number < MAX_OF_ONE; number++) rig.ask(1000, `a${number}`);
  assert.throws(() => rig.ask(1000, "more"), isFull);
  for (let number = MAX_OF_ONE; number < MAX_OF_ALL; number++) rig.ask(1000 + number, `b${number}`);
  assert.throws(() => rig.ask(2000, "more"), isFull);
  rig.ask(0, "root");
  rig.answer();
  assert.equal(rig.urls.length, 2);
  rig.ask(1000, "again");
  rig.changes[Symbol.dispose]();
});

Deno.test("Changes takes users in turn: who has many waits for who has one", () => {
  const rig = new Rig();
  for (const url of ["a1", "a2", "a3"]) rig.ask(1000, url);
  rig.ask(0, "root");
  for (let number = 0; number < 4; number++) rig.answer();
  assert.deepEqual(rig.urls, ["a1", "root", "a2", "a3"]);
  assert.deepEqual(rig.told, ["a1 200", "root 200", "a2 200", "a3 200"]);
  rig.changes[Symbol.dispose]();
});

Deno.test("Changes forgets what waits and whose client has left, and tells who has waited for too long", async () => {
  const rig = new Rig();
  for (const url of ["a1", "a2", "a3", "a4"]) rig.ask(1000, url);
  rig.left.add("a2");
  rig.answer();
  assert.deepEqual(rig.urls, ["a1", "a3"]);
  rig.left.add("a4");
  await rig.timers.pass(1000);
  const read = rig.reserve(1000);
  const alsoRead = rig.reserve(1000);
  rig.reserve(1000);
  assert.throws(() => rig.reserve(1000), isFull);
  read[Symbol.dispose]();
  alsoRead.ask({ ...QUESTION, url: "a5" }, (answer) => void rig.told.push(`a5 ${answer?.status}`));
  await rig.timers.pass(6000);
  assert.deepEqual(rig.told, ["a1 200", "a2 undefined", "a4 undefined", "a3 undefined", "a5 undefined"]);
  rig.answer();
  assert.deepEqual(rig.urls, ["a1", "a3"]);
  rig.changes[Symbol.dispose]();
});
