import assert from "node:assert/strict";
import { LineQueue, type UnwaitingOutput } from "./stderr.ts";

/** An output with room for some bytes. */
class Pipe implements UnwaitingOutput {
  text = "";
  room = Infinity;
  broken = false;
  isFull = false;
  /** What happens when somebody waits for it. */
  onWait = (): void => {};

  write(bytes: Uint8Array): number {
    if (this.broken) throw new Error("EPIPE");
    const part = bytes.subarray(0, Math.min(this.room, bytes.length));
    this.room -= part.length;
    this.text += new TextDecoder().decode(part);
    return part.length;
  }

  waitFor(): boolean {
    this.onWait();
    return this.room > 0;
  }
}

interface Rig {
  readonly pipe: Pipe;
  readonly queue: LineQueue;
  readonly add: (text: string) => void;
}

function rig(): Rig {
  const pipe = new Pipe();
  const queue: LineQueue = new LineQueue(pipe, (lost) => add(`${lost} lost`));
  const add = (text: string): void => queue.add(new TextEncoder().encode(`${text}\n`));
  return { pipe, queue, add };
}

const KIB = "x".repeat(1023);

Deno.test("LineQueue keeps lines that nobody takes, and writes them whole and in order when somebody does", async () => {
  const { pipe, queue, add } = rig();
  pipe.room = 3;
  for (const line of ["first", "second", "third"]) add(line);
  assert.equal(pipe.text, "fir");
  assert.deepEqual(queue.state, { linesLost: 0, isWritable: false });
  pipe.room = Infinity;
  while (!queue.state.isWritable) await new Promise((resolve) => setTimeout(resolve, 10)); // by itself
  add("fourth");
  assert.equal(pipe.text, "first\nsecond\nthird\nfourth\n");
});

Deno.test("LineQueue counts what it has no room for, and says where it is missing", () => {
  const { pipe, queue, add } = rig();
  pipe.room = 0;
  for (let line = 0; line < 300; line++) add(KIB);
  assert.deepEqual(queue.state, { linesLost: 300 - 256, isWritable: false });
  pipe.room = 2048;
  add("lost too: some room is not enough");
  assert.deepEqual(queue.state, { linesLost: 45, isWritable: false });
  pipe.room = Infinity;
  add("last");
  const lines = pipe.text.split("\n");
  assert.equal(lines.length, 256 + 3);
  assert.deepEqual(lines.slice(-3), ["45 lost", "last", ""]);
  assert.deepEqual(queue.state, { linesLost: 45, isWritable: true });
  queue.finish();
});

Deno.test("LineQueue goes on without who read it, and tells who reads it then what was lost", () => {
  const { pipe, queue, add } = rig();
  pipe.broken = true;
  for (const line of ["one", "two"]) add(line);
  assert.deepEqual(queue.state, { linesLost: 2, isWritable: false });
  pipe.broken = false;
  add("three");
  assert.equal(pipe.text, "three\n2 lost\n");
});

Deno.test("LineQueue.finish() waits a moment for who reads, and not for ever", () => {
  const { pipe, queue, add } = rig();
  pipe.room = 0;
  add("last words");
  queue.finish();
  assert.equal(pipe.text, "");
  pipe.onWait = () => pipe.room = Infinity;
  queue.finish();
  assert.equal(pipe.text, "last words\n");
});

Deno.test("LineQueue keeps lines for a disk that is full, says so, and writes them by itself", async () => {
  const { pipe, queue, add } = rig();
  pipe.room = 0;
  pipe.isFull = true;
  add("one");
  assert.deepEqual(queue.state, { linesLost: 0, isWritable: false, isFull: true });
  pipe.room = Infinity;
  pipe.isFull = false;
  while (!queue.state.isWritable) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(pipe.text, "one\n");
});
