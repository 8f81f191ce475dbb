import assert from "node:assert/strict";
import fc from "fast-check";
import { buildFrame, ETHERTYPE, type FrameOptions, PROTOCOL } from "../traffic/frames.ts";
import { plainUdpPort, readUdp, UdpPacket } from "./udp.ts";

const SOURCE = { mac: "02:00:00:00:00:01", address: "10.1.2.3", port: 40000 };
const DESTINATION = { mac: "02:00:00:00:00:02", address: "10.1.2.4", port: 9090 };
const SOURCE6 = { ...SOURCE, address: "fd00::1" };
const DESTINATION6 = { ...DESTINATION, address: "fd00::2" };
const PAYLOAD = new TextEncoder().encode("payload!");
/** Where the frame is put, so that an offset taken from zero shows. */
const AT = 4096 + 256;

const ipv4 = { source: SOURCE, destination: DESTINATION, payload: PAYLOAD };
const ipv6 = { source: SOURCE6, destination: DESTINATION6, payload: PAYLOAD };
const eight = { kind: "destination" } as const;

function read(bytes: Uint8Array, length = bytes.byteLength): UdpPacket | undefined {
  const memory = new Uint8Array(16384).fill(0xaa);
  memory.set(bytes, AT);
  const packet = new UdpPacket();
  return readUdp(new DataView(memory.buffer), AT, length, packet) ? packet : undefined;
}

const READABLE: Readonly<Record<string, FrameOptions>> = {
  "IPv4": ipv4,
  "IPv4 with options": { ...ipv4, ipv4Options: new Uint8Array(40).fill(1) },
  "IPv4 padded to 60 bytes": { ...ipv4, padTo: 60 },
  "one VLAN tag": { ...ipv4, vlans: [{ id: 7 }] },
  "QinQ": { ...ipv4, vlans: [{ id: 7, type: ETHERTYPE.qinq }, { id: 8 }] },
  "IPv6": ipv6,
  "IPv6 behind a VLAN tag": { ...ipv6, vlans: [{ id: 7 }] },
  "IPv6 with six extension headers": {
    ...ipv6,
    ipv6Extensions: [
      { kind: "hopByHop", bytes: 16 },
      { kind: "destination" },
      { kind: "routing" },
      { kind: "authentication" },
      { kind: "fragment", fragment: { offset: 0, more: false } },
      { kind: "destination", bytes: 24 },
    ],
  },
};

const UNREADABLE: Readonly<Record<string, FrameOptions>> = {
  "TCP": { ...ipv4, protocol: 6 },
  "a first fragment": { ...ipv4, ipv4Fragment: { offset: 0, more: true } },
  "a later fragment": { ...ipv4, ipv4Fragment: { offset: 1480, more: false } },
  "an IPv6 fragment": { ...ipv6, ipv6Extensions: [{ kind: "fragment", fragment: { offset: 0, more: true } }] },
  "three VLAN tags": { ...ipv4, vlans: [{ id: 1 }, { id: 2 }, { id: 3 }] },
  "seven extension headers": { ...ipv6, ipv6Extensions: Array(7).fill(eight) },
  "a source route": { ...ipv6, ipv6Extensions: [{ kind: "routing", segmentsLeft: 1 }] },
  "ESP": { ...ipv6, protocol: PROTOCOL.esp },
};

for (const [name, options] of Object.entries(READABLE)) {
  Deno.test(`readUdp() finds the headers of ${name}`, () => {
    const frame = buildFrame(options);
    const packet = read(frame.bytes);
    assert.ok(packet);
    assert.deepEqual({ ...packet }, {
      ethernet: AT,
      ip: AT + frame.ipAt,
      ipBytes: frame.endAt - frame.ipAt,
      udp: AT + frame.transportAt,
      udpBytes: 8 + PAYLOAD.length,
      isIpv6: options.source.address.includes(":"),
      sourcePort: 40000,
      destinationPort: 9090,
    });
  });

  Deno.test(`readUdp() reads ${name} only if the whole datagram is there`, () => {
    const { bytes, endAt } = buildFrame(options);
    for (let length = 0; length < bytes.byteLength; length++) {
      assert.equal(read(bytes, length) !== undefined, length >= endAt, `${length} of ${bytes.byteLength} bytes`);
    }
  });
}

for (const [name, options] of Object.entries(UNREADABLE)) {
  Deno.test(`readUdp() refuses ${name}`, () => assert.equal(read(buildFrame(options).bytes), undefined));
}

Deno.test("readUdp() refuses lengths and versions that contradict the frame", () => {
  const lies: readonly [FrameOptions, at: number, value: number][] = [
    [ipv4, 0, 0x5545], // version
    [ipv4, 0, 0x4400], // a header of four words
    [ipv4, 2, 20 + 8 + PAYLOAD.length - 1], // total length: ends within the datagram
    [ipv4, 2, 20 + 8 + PAYLOAD.length + 1], // ends behind the frame
    [ipv6, 0, 0x4000],
    [ipv6, 4, 8 + PAYLOAD.length - 1],
    [ipv6, 4, 8 + PAYLOAD.length + 1],
  ];
  for (const [options, at, value] of lies) {
    const { bytes, ipAt } = buildFrame(options);
    new DataView(bytes.buffer).setUint16(ipAt + at, value);
    assert.equal(read(bytes), undefined, `${value} at ${at}`);
    assert.equal(plainUdpPort(new DataView(bytes.buffer), 0, bytes.length), -1, `${value} at ${at}`);
  }
});

Deno.test("readUdp() never points outside the frame, whatever the bytes are", () => {
  const start = fc.constantFrom(...Object.values(READABLE)).map((options) => buildFrame(options).bytes);
  const damage = fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 8 });
  fc.assert(
    fc.property(start, damage, fc.nat(200), (bytes, changes, length) => {
      const damaged = bytes.slice();
      for (const [at, value] of changes) if (at < damaged.length) damaged[at] = value;
      const shown = Math.min(length, damaged.length);
      const packet = read(damaged, shown);
      if (packet === undefined) return;
      assert.ok(packet.ip >= AT + 14 && packet.udp >= packet.ip + 4);
      assert.ok(packet.udpBytes >= 8 && packet.udp + packet.udpBytes <= packet.ip + packet.ipBytes);
      assert.ok(packet.ip + packet.ipBytes <= AT + shown);
    }),
    { numRuns: 2000 },
  );
});
