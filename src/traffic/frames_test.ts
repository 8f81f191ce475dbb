import assert from "node:assert/strict";
import fc from "fast-check";
import { udpChecksum } from "../packet/checksum.ts";
import { readUdp, UdpPacket } from "../packet/udp.ts";
import { parseAddress, parseMac } from "../packet/address.ts";
import { addWords, buildFrame, type FrameOptions, internetChecksum } from "./frames.ts";

const SOURCE = { mac: "02:00:00:00:00:01", address: "192.168.0.1", port: 1000 };
const DESTINATION = { mac: "02:00:00:00:00:02", address: "192.168.0.199", port: 2000 };
const V6 = { source: { ...SOURCE, address: "2001:db8::1" }, destination: { ...DESTINATION, address: "2001:db8::2" } };

const hex = (bytes: Uint8Array): string => bytes.toHex();

Deno.test("parseAddress() reads IPv4 and every form of IPv6", () => {
  assert.equal(hex(parseAddress("10.0.255.1")), "0a00ff01");
  assert.equal(hex(parseAddress("2001:db8::1")), "20010db8000000000000000000000001");
  assert.equal(hex(parseAddress("::")), "0".repeat(32));
  assert.equal(hex(parseAddress("fe80::")), "fe80" + "0".repeat(28));
  assert.equal(hex(parseAddress("1:2:3:4:5:6:7:8")), "00010002000300040005000600070008");
});

Deno.test("parseAddress() refuses what is no address", () => {
  for (const text of ["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "1:2", "1::2::3", "1:2:3:4:5:6:7:8::", "g::", "12345::"]) {
    assert.throws(() => parseAddress(text), { name: "TypeError", message: `Cannot read the IP address "${text}"` });
  }
});

Deno.test("parseMac() reads six bytes and nothing else", () => {
  assert.equal(hex(parseMac("02:00:00:0a:BC:ff")), "0200000abcff");
  for (const text of ["", "02:00:00:00:00", "02-00-00-00-00-01", "02:00:00:00:00:0g"]) {
    assert.throws(() => parseMac(text), TypeError);
  }
});

Deno.test("buildFrame() computes the textbook IPv4 header checksum", () => {
  const { bytes, ipAt } = buildFrame({ source: SOURCE, destination: DESTINATION, payload: new Uint8Array(0x73 - 28) });
  assert.equal(hex(bytes.subarray(ipAt, ipAt + 20)), "450000730000400040" + "11b861c0a80001c0a800c7");
});

Deno.test("buildFrame() lays out tags, options, extension headers and padding", () => {
  const tagged = buildFrame({
    ...{ source: SOURCE, destination: DESTINATION, vlans: [{ id: 5, type: 0x88a8 }, { id: 6 }] },
    ...{ ipv4Options: new Uint8Array(4), payload: new Uint8Array([1]), padTo: 80 },
  });
  assert.equal(hex(tagged.bytes.subarray(12, 22)), "88a80005" + "81000006" + "0800");
  assert.deepEqual([tagged.ipAt, tagged.transportAt, tagged.endAt, tagged.bytes.length], [22, 46, 55, 80]);
  assert.equal(tagged.bytes[22], 0x46);

  const extended = buildFrame({
    ...V6,
    ipv6Extensions: [
      { kind: "hopByHop" },
      { kind: "routing", bytes: 24, segmentsLeft: 2 },
      { kind: "authentication" },
      { kind: "fragment", fragment: { offset: 0, more: false, id: 7 } },
    ],
  });
  assert.equal(extended.transportAt, 14 + 40 + 8 + 24 + 24 + 8);
  assert.equal(extended.bytes[20], 0); // hop-by-hop comes first
  assert.equal(hex(extended.bytes.subarray(54, 56)), "2b00");
  assert.equal(hex(extended.bytes.subarray(62, 66)), "33020002");
  assert.equal(hex(extended.bytes.subarray(86, 88)), "2c04");
  assert.equal(hex(extended.bytes.subarray(110, 118)), "1100000000000007");
});

Deno.test("buildFrame() gives only a first fragment a UDP header", () => {
  const payload = new Uint8Array(16);
  const first = buildFrame({
    source: SOURCE,
    destination: DESTINATION,
    payload,
    ipv4Fragment: { offset: 0, more: true },
  });
  const second = buildFrame({
    source: SOURCE,
    destination: DESTINATION,
    payload,
    ipv4Fragment: { offset: 24, more: false },
  });
  assert.equal(hex(first.bytes.subarray(20, 22)), "2000");
  assert.equal(first.endAt - first.transportAt, 24);
  assert.equal(hex(second.bytes.subarray(20, 22)), "0003");
  assert.equal(second.endAt - second.transportAt, 16);
});

Deno.test("buildFrame() refuses one IPv4 and one IPv6 endpoint", () => {
  assert.throws(() => buildFrame({ source: SOURCE, destination: V6.destination }), TypeError);
});

Deno.test("buildFrame() builds what src/packet reads back, checksums right", () => {
  const options = fc.record({
    endpoints: fc.constantFrom({ source: SOURCE, destination: DESTINATION }, V6),
    payload: fc.uint8Array({ maxLength: 300 }),
    tags: fc.nat(2),
    ports: fc.tuple(fc.nat(65535), fc.nat(65535)),
  });
  const packet = new UdpPacket();
  fc.assert(fc.property(options, ({ endpoints, payload, tags, ports: [from, to] }) => {
    const frame: FrameOptions = {
      source: { ...endpoints.source, port: from },
      destination: { ...endpoints.destination, port: to },
      payload,
      vlans: Array.from({ length: tags }, (_, id) => ({ id })),
    };
    const { bytes, ipAt, transportAt } = buildFrame(frame);
    const view = new DataView(bytes.buffer);
    assert.ok(readUdp(view, 0, bytes.length, packet));
    assert.deepEqual(
      [packet.ip, packet.udp, packet.udpBytes, packet.sourcePort, packet.destinationPort],
      [ipAt, transportAt, payload.length + 8, from, to],
    );
    assert.equal(view.getUint16(transportAt + 6, true), udpChecksum(view, packet));
    if (!packet.isIpv6) assert.equal(internetChecksum(addWords(bytes.subarray(ipAt, transportAt))), 0);
  }));
});
