import assert from "node:assert/strict";
import fc from "fast-check";
import {
  DIRECTION,
  interfaceDescription,
  interfaceStatistics,
  PACKET_AT,
  packetBlockBytes,
  sectionApplication,
  sectionHeader,
  STATISTICS_BYTES,
  writePacketBlock,
} from "./pcapng.ts";

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

Deno.test("sectionHeader() is the block of the draft, byte for byte", () => {
  assert.equal(
    hex(sectionHeader({ hardware: "abc", os: "", userappl: "wxyz" })),
    [
      "0a0d0d0a 34000000 4d3c2b1a 0100 0000 ffffffffffffffff",
      "0200 0300 61626300",
      "0300 0000",
      "0400 0400 7778797a",
      "0000 0000",
      "34000000",
    ].join("").replaceAll(" ", ""),
  );
});

Deno.test("sectionApplication() reads what sectionHeader() writes, and of other bytes nothing", () => {
  const bytes = sectionHeader({ hardware: "abcde", os: "Linux 6.1", userappl: "xdpsteer 1.2.3" });
  assert.equal(sectionApplication(bytes), "xdpsteer 1.2.3");
  assert.equal(sectionApplication(Uint8Array.of(...bytes, ...bytes)), "xdpsteer 1.2.3", "more comes after it");
  for (let length = 0; length < bytes.length - 8 - 16; length++) {
    assert.equal(sectionApplication(bytes.subarray(0, length)), undefined, `cut after ${length} bytes`);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (noise) => {
    sectionApplication(noise);
    sectionApplication(Uint8Array.of(...bytes.subarray(0, 24), ...noise));
  }));
});

Deno.test("interfaceDescription() has name, snap length and nanoseconds", () => {
  assert.equal(
    hex(interfaceDescription("eth0", 256)),
    [
      "01000000 28000000 0100 0000 00010000",
      "0200 0400 65746830",
      "0900 0100 09000000",
      "0000 0000",
      "28000000",
    ].join("").replaceAll(" ", ""),
  );
});

Deno.test("interfaceStatistics() has the length it says, and counts beyond 32 bits", () => {
  const at = { seconds: 1, nanoseconds: 2 };
  const bytes = interfaceStatistics(3, { start: at, end: at, dropped: 2 ** 40 + 1, written: 7 });
  assert.equal(bytes.length, STATISTICS_BYTES);
  const view = new DataView(bytes.buffer);
  assert.equal(view.getUint32(8, true), 3);
  assert.equal(view.getUint16(44, true), 5, "isb_ifdrop");
  assert.equal(view.getBigUint64(48, true), 2n ** 40n + 1n);
});

Deno.test("writePacketBlock() puts any moment and any length where they belong", () => {
  fc.assert(fc.property(
    fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    fc.integer({ min: 0, max: 999_999_999 }),
    fc.integer({ min: 0, max: 70_000 }),
    fc.integer({ min: 0, max: 65_535 }),
    fc.integer({ min: 0, max: 10 }).map((words) => words * 4),
    (seconds, nanoseconds, length, snap, at) => {
      const captured = Math.min(length, snap);
      const view = new DataView(new ArrayBuffer(at + packetBlockBytes(captured) + 4));
      const bytes = writePacketBlock(view, at, 2, 5, DIRECTION.in, seconds, nanoseconds, captured, length);
      assert.equal(bytes, packetBlockBytes(captured));
      assert.equal(bytes % 4, 0);
      const words = (offset: number): number => view.getUint32(at + offset, true);
      const time = (BigInt(words(12)) << 32n) | BigInt(words(16));
      assert.equal(time, BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds));
      assert.deepEqual([words(0), words(4), words(8), words(20), words(24)], [6, bytes, 2, captured, length]);
      assert.equal(words(bytes - 4), bytes);
      const options = at + PACKET_AT + Math.ceil(captured / 4) * 4;
      assert.deepEqual([view.getUint16(options, true), view.getUint32(options + 4, true)], [2, 1], "epb_flags: in");
      assert.deepEqual([view.getUint16(options + 8, true), view.getUint32(options + 12, true)], [6, 5], "epb_queue");
      assert.equal(view.getUint32(at + bytes, true), 0, "nothing behind the block");
    },
  ));
});
