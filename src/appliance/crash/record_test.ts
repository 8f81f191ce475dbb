import assert from "node:assert/strict";
import { SharedMemory } from "../../ffi/shared_memory.ts";
import { duplicate } from "../../ffi/descriptors.ts";
import { CrashRecord } from "./record.ts";

const HEAD = 4096 + 64;
const PLACE = 16 << 20;

/** The same memory, as another process finds it. */
function heirOf(record: CrashRecord): CrashRecord {
  return CrashRecord.adopt(duplicate(record.fd));
}

/** Changes bytes of it from outside. */
function spoil(record: CrashRecord, at: number, byte: number): void {
  using file = Deno.openSync(`/proc/self/fd/${record.fd}`, { read: true, write: true });
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array([byte]));
}

Deno.test("CrashRecord has what was written last, and another process finds it", () => {
  using record = CrashRecord.create();
  using heir = heirOf(record);
  assert.equal(heir.read(), undefined);
  for (const text of ["one", "two", "a third one that is longer"]) {
    assert.ok(record.write(text));
    assert.equal(heir.read(), text);
  }
  record.clear();
  assert.equal(heir.read(), undefined);
  assert.ok(record.write("again"));
  assert.equal(heir.read(), "again");
});

Deno.test("CrashRecord that was left half written is the one of before; where none is whole, there is none", () => {
  using record = CrashRecord.create();
  using heir = heirOf(record);
  record.write("one"); // in the second place
  record.write("two"); // in the first one
  spoil(record, HEAD + 16, "T".charCodeAt(0));
  assert.equal(heir.read(), "one");
  spoil(record, HEAD + PLACE + 4, 255); // a length
  assert.equal(heir.read(), undefined);
});

Deno.test("CrashRecord counts who has begun, and refuses what is too long", () => {
  using record = CrashRecord.create();
  using heir = heirOf(record);
  assert.deepEqual([heir.begin(), record.begin()], [0, 1]);
  record.write("one");
  assert.equal(record.write("x".repeat(PLACE)), false);
  assert.equal(heir.read(), "one");
});

Deno.test("CrashRecord is made of no other memory", () => {
  using other = SharedMemory.create({ name: "another", shape: "another", bytes: 64 });
  assert.throws(() => CrashRecord.adopt(duplicate(other.fd)), /The memory for xdpsteer record has/);
});
