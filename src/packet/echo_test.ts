import assert from "node:assert/strict";
import fc from "fast-check";
import { addWords, buildFrame, type FrameOptions, pseudoHeaderSum, withPartialChecksum } from "../traffic/frames.ts";
import { parseAddress } from "../packet/address.ts";
import { echoUdp } from "./echo.ts";
import { readUdp, UdpPacket } from "./udp.ts";

const CLIENT = { mac: "02:00:00:00:00:01", address: "10.1.2.3", port: 40000 };
const SERVER = { mac: "02:00:00:00:00:02", address: "10.1.2.4", port: 7777 };
const CLIENT6 = { ...CLIENT, address: "fd00::1:2" };
const SERVER6 = { ...SERVER, address: "fd00::2:3" };
const AT = 256;

function echo(bytes: Uint8Array): Uint8Array {
  const memory = new Uint8Array(8192);
  memory.set(bytes, AT);
  const view = new DataView(memory.buffer);
  const packet = new UdpPacket();
  assert.ok(readUdp(view, AT, bytes.byteLength, packet));
  echoUdp(view, packet);
  return memory.slice(AT, AT + bytes.byteLength);
}

const KINDS: Readonly<Record<string, Pick<FrameOptions, "source" | "destination" | "vlans">>> = {
  "IPv4": { source: CLIENT, destination: SERVER },
  "IPv4 in a VLAN": { source: CLIENT, destination: SERVER, vlans: [{ id: 5 }] },
  "IPv6": { source: CLIENT6, destination: SERVER6 },
  "IPv6 in QinQ": { source: CLIENT6, destination: SERVER6, vlans: [{ id: 5, type: 0x88a8 }, { id: 6 }] },
};

for (const [name, kind] of Object.entries(KINDS)) {
  const back = { ...kind, source: kind.destination, destination: kind.source };

  Deno.test(`echoUdp() makes of ${name} the very frame the other side would have sent, with one hop less`, () => {
    const hops = fc.integer({ min: 1, max: 255 });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 1472 }), hops, (payload, hops) => {
      const bytes = echo(buildFrame({ ...kind, payload, hops }).bytes);
      assert.deepEqual(bytes, buildFrame({ ...back, payload, hops: hops - 1 }).bytes);
    }));
  });

  Deno.test(`echoUdp() completes an unfinished checksum of ${name}`, () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 1472 }), (payload) => {
      const options = { ...kind, payload };
      const bytes = echo(withPartialChecksum(buildFrame(options), options));
      assert.deepEqual(bytes, buildFrame({ ...back, payload, hops: 63 }).bytes);
    }));
  });
}

Deno.test("echoUdp() keeps a zero IPv4 checksum", () => {
  const payload = new Uint8Array([1, 2, 3]);
  const bytes = echo(buildFrame({ source: CLIENT, destination: SERVER, payload, checksum: false }).bytes);
  const back = { source: SERVER, destination: CLIENT, payload, checksum: false, hops: 63 };
  assert.deepEqual(bytes, buildFrame(back).bytes);
});

Deno.test("echoUdp() leaves a wrong checksum wrong, for the receiver to see", () => {
  const frame = buildFrame({ source: CLIENT, destination: SERVER, payload: new Uint8Array([1, 2, 3, 4]) });
  frame.bytes[frame.endAt - 1] = 99;
  const bytes = echo(frame.bytes);
  const datagram = bytes.subarray(frame.transportAt);
  const sum = pseudoHeaderSum(parseAddress(SERVER.address), parseAddress(CLIENT.address), datagram.length);
  assert.notEqual(addWords(datagram, sum) % 0xffff, 0);
});
