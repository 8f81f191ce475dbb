import assert from "node:assert/strict";
import { buildFrame, type Endpoint } from "../traffic/frames.ts";
import { isAnswerable } from "./answerable.ts";
import { readUdp, UdpPacket } from "./udp.ts";

const CLIENT = { mac: "02:00:00:00:00:01", address: "10.1.2.3", port: 40000 };
const SERVER = { mac: "02:00:00:00:00:02", address: "10.1.2.4", port: 7777 };

function answerable(source: Partial<Endpoint>, destination: Partial<Endpoint>): boolean {
  const [from, to] = [{ ...CLIENT, ...source }, { ...SERVER, ...destination }];
  const { bytes } = buildFrame({ source: from, destination: to, vlans: [{ id: 5 }] });
  const packet = new UdpPacket();
  const view = new DataView(bytes.buffer);
  assert.ok(readUdp(view, 0, bytes.length, packet));
  return isAnswerable(view, packet);
}

const HOSTS = {
  "10.1.2.9": ["1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "169.254.1.2"],
  "fd00::9": ["::2", "::1:0:0", "0:0:0:1::", "0:0:1::1", "fe80::1", "feff::1", "64:ff9b::a00:1", "1::"],
};
const NO_HOSTS = {
  "10.1.2.9": [
    ...["0.0.0.0", "0.255.255.255", "127.0.0.1", "127.255.255.255"],
    ...["224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.254", "255.255.255.255"],
  ],
  "fd00::9": ["::", "::1", "::ffff:0:0", "::ffff:7f00:1", "ff02::1", "ff0e::1"],
};

for (const [addresses, expected] of [[HOSTS, true], [NO_HOSTS, false]] as const) {
  for (const [peer, all] of Object.entries(addresses)) {
    for (const address of all) {
      Deno.test(`isAnswerable() is ${expected} from and to ${address}`, () => {
        assert.equal(answerable({ address }, { address: peer }), expected, "from");
        assert.equal(answerable({ address: peer }, { address }), expected, "to");
      });
    }
  }
}

for (const mac of ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01"]) {
  Deno.test(`isAnswerable() is false from and to ${mac}`, () => {
    assert.ok(!answerable({ mac }, {}));
    assert.ok(!answerable({}, { mac }));
  });
}

Deno.test("isAnswerable() is false from port 0, and not to port 0", () => {
  assert.ok(!answerable({ port: 0 }, {}));
  assert.ok(answerable({}, { port: 0 }));
});
