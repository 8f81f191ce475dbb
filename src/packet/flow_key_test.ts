import assert from "node:assert/strict";
import fc from "fast-check";
import { keyedFlowHash } from "./flow_key.ts";
import { IPV4, IPV6, UdpPacket } from "./udp.ts";

/** HalfSipHash with a 32-bit result, as its reference says it, over bytes and with any number of rounds. */
function halfSipHash(bytes: Uint8Array, low: number, high: number, c: number, d: number): number {
  const rotate = (word: number, by: number): number => (word << by) | (word >>> (32 - by));
  const v = [low | 0, high | 0, 0x6c796765 ^ low, 0x74656462 ^ high] as [number, number, number, number];
  const round = (): void => {
    v[0] = (v[0] + v[1]) | 0;
    v[1] = rotate(v[1], 5) ^ v[0];
    v[0] = rotate(v[0], 16);
    v[2] = (v[2] + v[3]) | 0;
    v[3] = rotate(v[3], 8) ^ v[2];
    v[0] = (v[0] + v[3]) | 0;
    v[3] = rotate(v[3], 7) ^ v[0];
    v[2] = (v[2] + v[1]) | 0;
    v[1] = rotate(v[1], 13) ^ v[2];
    v[2] = rotate(v[2], 16);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole = bytes.length & ~3;
  const words = Array.from({ length: whole / 4 }, (_, index) => view.getInt32(index * 4, true));
  let last = bytes.length << 24;
  for (let at = whole; at < bytes.length; at++) last |= bytes[at]! << (8 * (at - whole));
  for (const word of [...words, last]) {
    v[3] ^= word;
    for (let count = 0; count < c; count++) round();
    v[0] ^= word;
  }
  v[2] ^= 0xff;
  for (let count = 0; count < d; count++) round();
  return v[1] ^ v[3];
}

Deno.test("the model of HalfSipHash gives the reference's numbers for 2-4 rounds", () => {
  // vectors_hsip32 of the reference implementation: key 00 01 … 07, messages "", 00, 00 01.
  const expected = [0x5b9f35a9, 0xb85a4727, 0x03a662fa];
  expected.forEach((hash, length) => {
    const message = Uint8Array.from({ length }, (_, index) => index);
    assert.equal(halfSipHash(message, 0x03020100, 0x07060504, 2, 4) >>> 0, hash);
  });
});

for (const isIpv6 of [false, true]) {
  Deno.test(`keyedFlowHash() is HalfSipHash-1-3 of ports and addresses: ${isIpv6 ? "IPv6" : "IPv4"}`, () => {
    const addresses = isIpv6 ? 32 : 8;
    const at = isIpv6 ? IPV6.source : IPV4.source;
    const packet = new UdpPacket();
    packet.ip = 0;
    packet.udp = 60;
    packet.isIpv6 = isIpv6;
    fc.assert(fc.property(
      fc.uint8Array({ minLength: 4 + addresses, maxLength: 4 + addresses }),
      fc.integer(),
      fc.integer(),
      (bytes, low, high) => {
        const frame = new Uint8Array(64);
        frame.set(bytes.subarray(0, 4), 60);
        frame.set(bytes.subarray(4), at);
        const hash = keyedFlowHash(new DataView(frame.buffer), packet, { low, high });
        assert.equal(hash, halfSipHash(bytes, low, high, 1, 3));
      },
    ));
  });
}

Deno.test("sources that met under every seed of a hash that only mixes do not meet under keys", () => {
  // They differ in bit 31 of two words each, which a multiplication by an odd number never moves.
  const packet = new UdpPacket();
  packet.udp = 60;
  packet.isIpv6 = true;
  const frames = Array.from({ length: 8 }, (_, which) => {
    const frame = new DataView(new ArrayBuffer(64));
    for (let bit = 0; bit < 3; bit++) {
      if ((which >> bit & 1) !== 0) frame.setInt32(IPV6.source + 4 * bit, 0x80000000 | 0, true);
    }
    return frame;
  });
  let met = 0;
  for (let seed = 0; seed < 2000; seed++) {
    const hashes = new Set(frames.map((frame) => keyedFlowHash(frame, packet, { low: seed, high: ~seed }) & 0xffff));
    met += frames.length - hashes.size;
  }
  assert.ok(met < 100, `${met} of 16,000 met in the low 16 bits`);
});
