import assert from "node:assert/strict";
import fc from "fast-check";
import { buildFrame } from "../traffic/frames.ts";
import { decrementHops, hopsLeft } from "./hops.ts";
import { readUdp, UdpPacket } from "./udp.ts";

for (const [family, net] of [["IPv4", "10.1."], ["IPv6", "fd00::"]] as const) {
  Deno.test(`decrementHops() leaves a packet as a host that gives it one hop less would send it: ${family}`, () => {
    const ends = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 });
    // The checksum's own carries are rare: every TTL is tried with many addresses.
    fc.assert(
      fc.property(ends, ([a, b, c, d]) => {
        const host = (left: number, right: number): string =>
          net + (family === "IPv4" ? `${left}.${right}` : `${left.toString(16)}:${right.toString(16)}`);
        const frame = (hops: number): Uint8Array<ArrayBuffer> =>
          buildFrame({
            source: { mac: "02:00:00:00:00:01", address: host(a!, b!), port: 40000 },
            destination: { mac: "02:00:00:00:00:02", address: host(c!, d!), port: 7777 },
            vlans: [{ id: 5 }],
            hops,
          }).bytes;
        const bytes = frame(255);
        const view = new DataView(bytes.buffer);
        const packet = new UdpPacket();
        assert.ok(readUdp(view, 0, bytes.length, packet));
        for (let hops = 254; hops >= 0; hops--) {
          decrementHops(view, packet);
          assert.equal(hopsLeft(view, packet), hops);
          assert.deepEqual(bytes, frame(hops));
        }
      }),
      { numRuns: 300 },
    );
  });
}
