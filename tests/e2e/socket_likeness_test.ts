/**
 * What a socket of the kernel gets of the frames that come by a network, a worker gets, and nothing else. The
 * exceptions are documented: VLAN tags, and UDP checksums, which nobody looks at here.
 */
import assert from "node:assert/strict";
import { buildFrame, type Frame, type FrameOptions, type Ipv6Extension } from "../../src/traffic/frames.ts";
import { INTERFACES, IPV4, IPV6, MACS, TestNetwork } from "../support/netns.ts";
import { receivedByQueue, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { python } from "./support/python.ts";

const PORT = 7777;
/** Of the box, over a macvlan: as a VRRP address has it. */
const VIRTUAL = { mac: "02:00:00:00:00:55", address: "10.11.0.55" } as const;

type Variation = Partial<FrameOptions> & { readonly from?: string; readonly to?: string; readonly mac?: string };

function frame(family: "IPv4" | "IPv6", { from, to, mac = MACS.steer, ...rest }: Variation = {}): Frame {
  const addresses = family === "IPv4" ? IPV4 : IPV6;
  return buildFrame({
    source: { mac: MACS.client, address: from ?? addresses.client, port: 40_000 },
    destination: { mac, address: to ?? addresses.steer, port: PORT },
    payload: new TextEncoder().encode("some payload"),
    ...rest,
  });
}

function changed(original: Frame, at: number, value: number): Frame {
  const bytes = original.bytes.slice();
  bytes[at] = value;
  return { ...original, bytes };
}

const destination: Ipv6Extension = { kind: "destination" };
const nops = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(1);
const plain = { IPv4: frame("IPv4"), IPv6: frame("IPv6") } as const;

const FRAMES: Readonly<Record<string, Frame>> = {
  "IPv4": plain.IPv4,
  "IPv6": plain.IPv6,
  ...Object.fromEntries(
    [4, 8, 20, 40].map((bytes) => [`${bytes} bytes of options`, frame("IPv4", { ipv4Options: nops(bytes) })]),
  ),
  ...Object.fromEntries(
    Object.entries({
      "a loose source route": [131, 7, 4, 10, 11, 0, 9, 0],
      "a strict source route": [137, 7, 4, 10, 11, 0, 9, 0],
      "a source route that has been followed": [131, 7, 8, 10, 11, 0, 9, 0],
      "a source route behind other options": [1, 1, 148, 4, 0, 0, 1, 131, 7, 8, 10, 11, 0, 9, 0, 0],
      "a router alert": [148, 4, 0, 0],
      "a route that is recorded": [7, 7, 4, 0, 0, 0, 0, 0],
      "the end of options before a source route": [0, 131, 7, 4, 10, 11, 0, 9],
      "an unknown option": [30, 4, 0, 0],
      "an option of no length": [30, 0, 0, 0],
      "an option that is longer than all": [30, 9, 4, 0, 0, 0, 0, 0],
      "an option without its length": [1, 1, 1, 30],
      "a recorded route without room for an address": [7, 5, 4, 0, 0, 0, 0, 0],
      "a recorded route whose pointer is too small": [7, 7, 3, 0, 0, 0, 0, 0],
      "a recorded route whose pointer is at its end": [7, 7, 6, 0, 0, 0, 0, 0],
      "a recorded route that is full": [7, 7, 8, 0, 0, 0, 0, 0],
      "two recorded routes": [7, 7, 4, 0, 0, 0, 0, 1, 7, 7, 4, 0, 0, 0, 0, 1],
      "timestamps": [68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      "timestamps with a pointer that is too small": [68, 12, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      "timestamps with a pointer at their end": [68, 12, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      "timestamps that are full": [68, 8, 9, 0, 0, 0, 0, 0],
      "timestamps that too many had no room in": [68, 8, 9, 0xf0, 0, 0, 0, 0],
      "timestamps with addresses": [68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
      "timestamps with an address that has no room": [68, 12, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0],
      "timestamps of given addresses": [68, 12, 5, 3, 10, 11, 0, 2, 0, 0, 0, 0],
      "timestamps of given addresses that are full": [68, 12, 13, 0xf3, 10, 11, 0, 2, 0, 0, 0, 0],
      "timestamps twice": [68, 8, 5, 0, 0, 0, 0, 0, 68, 8, 5, 0, 0, 0, 0, 0],
      "a router alert that is too short": [148, 3, 0, 0],
      "a security option": [130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    }).map(([name, options]) => [name, frame("IPv4", { ipv4Options: Uint8Array.from(options) })]),
  ),
  "IPv4 without payload": frame("IPv4", { payload: new Uint8Array() }),
  "padding": frame("IPv4", { payload: new Uint8Array(2), padTo: 60 }),
  "IPv6 with padding": frame("IPv6", { padTo: 100 }),
  "no UDP checksum": frame("IPv4", { checksum: false }),
  "one hop left": frame("IPv4", { hops: 1 }),
  "no hop left": frame("IPv4", { hops: 0 }),
  "IPv6 with no hop left": frame("IPv6", { hops: 0 }),
  "a destination header": frame("IPv6", { ipv6Extensions: [destination] }),
  "a hop-by-hop and two destination headers": frame("IPv6", {
    ipv6Extensions: [{ kind: "hopByHop" }, destination, destination],
  }),
  ...Object.fromEntries(
    Object.entries({
      "an option to skip": [0x1e, 4, 0, 0, 0, 0],
      "an option that discards": [0x47, 4, 0, 0, 0, 0],
      "an option that discards and tells": [0x87, 4, 0, 0, 0, 0],
      "an option that discards and tells one host": [0xc7, 4, 0, 0, 0, 0],
      "a home address": [1, 2, 0, 0, 0xc9, 16, ...Array<number>(16).fill(0)],
      "a jumbo length": [0xc2, 4, 0, 1, 0, 0],
      "an option behind padding": [0, 0, 0x47, 2, 0, 0],
      "padding of 6 single bytes": [0, 0, 0, 0, 0, 0],
      "padding in one piece": [1, 4, 0, 0, 0, 0],
      "padding that is not zero": [1, 4, 0, 0, 0, 1],
      "padding of 7 bytes": [0x1e, 5, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0, 0, 0],
      "padding of 8 bytes": [0x1e, 4, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0],
      "padding of 8 bytes in two pieces": [0x1e, 4, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0],
      "an option that is longer than all": [0x1e, 5, 0, 0, 0, 0],
      "an option without its length": [1, 3, 0, 0, 0, 0x1e],
      "8 options": Array.from({ length: 8 }, () => [0x1e, 0]).flat().concat([1, 4, 0, 0, 0, 0]),
      "9 options": Array.from({ length: 9 }, () => [0x1e, 0]).flat().concat([1, 2, 0, 0]),
      "a large option": [0x1e, 252, ...Array<number>(252).fill(7)],
    }).flatMap(([name, options]) =>
      (["destination", "hopByHop"] as const).map((kind) => [
        `${name} (${kind})`,
        frame("IPv6", { ipv6Extensions: [{ kind, options }] }),
      ])
    ),
  ),
  // Type 2 is left out: whether the kernel takes it depends on how it was built.
  ...Object.fromEntries(
    [0, 3, 4, 5].map((type) => [
      `a routing header of type ${type} with no segment left`,
      frame("IPv6", { ipv6Extensions: [{ kind: "routing", type, bytes: 24 }] }),
    ]),
  ),
  "a hop-by-hop header behind a destination header": frame("IPv6", {
    ipv6Extensions: [destination, { kind: "hopByHop" }],
  }),
  "an option that discards in a second header": frame("IPv6", {
    ipv6Extensions: [destination, { kind: "destination", options: [0xc7, 4, 0, 0, 0, 0] }],
  }),
  "an authentication header": frame("IPv6", { ipv6Extensions: [{ kind: "authentication" }] }),
  "an option that discards behind an atomic fragment": frame("IPv6", {
    ipv6Extensions: [
      { kind: "fragment", fragment: { offset: 0, more: false, id: 9 } },
      { kind: "destination", options: [0xc7, 4, 0, 0, 0, 0] },
    ],
  }),
  "an atomic fragment": frame("IPv6", {
    ipv6Extensions: [{ kind: "fragment", fragment: { offset: 0, more: false, id: 9 } }],
  }),
  // Addresses of Ethernet.
  "for another MAC address": frame("IPv4", { mac: "02:00:00:00:00:77" }),
  "IPv6 for another MAC address": frame("IPv6", { mac: "02:00:00:00:00:77" }),
  "for the broadcast MAC address": frame("IPv4", { mac: "ff:ff:ff:ff:ff:ff" }),
  "IPv6 for a group of MAC addresses": frame("IPv6", { mac: "33:33:00:00:00:01" }),
  "for a macvlan": frame("IPv4", { mac: VIRTUAL.mac, to: VIRTUAL.address }),
  "for the address of the macvlan, to the device": frame("IPv4", { to: VIRTUAL.address }),
  "for the device's address, to the macvlan": frame("IPv4", { mac: VIRTUAL.mac }),
  // Checksums of the header.
  "a wrong checksum": changed(plain.IPv4, 24, plain.IPv4.bytes[24]! ^ 1),
  "another TTL than was summed": changed(plain.IPv4, 22, 63),
  "a wrong checksum of a header with options": changed(frame("IPv4", { ipv4Options: nops(20) }), 22, 63),
  // Sources.
  ...Object.fromEntries(
    [
      ...["127.0.0.1", "0.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255", "10.11.0.255", IPV4.steer],
      ...["10.11.0.9", "10.11.0.254"],
    ].map((from) => [`from ${from}`, frame("IPv4", { from })]),
  ),
  ...Object.fromEntries(
    ["::", "::1", "ff02::1", "::ffff:a0b:1", IPV6.steer, "fd11::9", "2001:db8::1"].map((from) => [
      `from ${from}`,
      frame("IPv6", { from }),
    ]),
  ),
  // Destinations.
  ...Object.fromEntries(
    ["10.11.0.3", "127.0.0.1", "192.0.2.1"].map((to) => [`to ${to}`, frame("IPv4", { to })]),
  ),
  ...Object.fromEntries(["fd11::3", "::1", "2001:db8::2"].map((to) => [`to ${to}`, frame("IPv6", { to })])),
};

/** Sends each frame, and a plain one behind it: when that is there, the one before it is, or never will be. */
const SEND = `
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((options["interface"], 0))
for frame in options["frames"]: sender.send(bytes.fromhex(frame))
print("null")
`;

const SOCKET = `
import subprocess
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind(("::", options["port"]))
server.settimeout(30)
got = []
for frame in options["frames"]:
    order = json.dumps({"interface": options["interface"], "frames": [frame, options["last"]]})
    subprocess.run(["ip", "netns", "exec", options["client"], sys.executable, "-c", options["send"], order],
        check=True, stdout=subprocess.DEVNULL)
    count = 0
    while True:
        data, peer = server.recvfrom(65535)
        if data == b"last": break
        count += 1
    # A macvlan and its device each get what is for a group.
    got.append(min(count, 1))
print(json.dumps(got))
`;

Deno.test("a worker gets of all shapes of frames what a socket of the kernel gets", async () => {
  await using network = await TestNetwork.create({ checksumOffload: false });
  const { steer } = INTERFACES;
  const macvlan = ["address", VIRTUAL.mac, "type", "macvlan", "mode", "bridge"];
  for (
    const command of [
      // A martian source is also told by the way back to it.
      ["sysctl", "-q", "-w", "net.ipv4.conf.all.rp_filter=0", `net.ipv4.conf.${steer}.rp_filter=2`],
      ["ip", "link", "add", "link", steer, "name", "vrrp0", ...macvlan],
      ["ip", "link", "set", "vrrp0", "addrgenmode", "none", "up"],
      ["ip", "address", "add", `${VIRTUAL.address}/32`, "dev", "vrrp0"],
      ["ip", "route", "add", "192.0.2.0/24", "via", IPV4.client],
    ]
  ) await network.exec("steer", command);
  const names = Object.keys(FRAMES);
  const frames = Object.values(FRAMES).map(({ bytes }) => bytes.toHex());
  const last = frame("IPv4", { payload: new TextEncoder().encode("last") }).bytes.toHex();
  const send = `import json, socket, sys\noptions = json.loads(sys.argv[1])\n${SEND}`;
  const input = { port: PORT, frames, last, client: network.names.client, interface: INTERFACES.client, send };
  const kernel = await python<number[]>(network, "steer", SOCKET, input);

  await using box = await startAppliance(network, {
    rules: [`{ name: r, ports: ${PORT}, worker: 0, action: count }`],
    workers: 1,
  });
  const worker: number[] = [];
  let before = 0;
  const sum = async (): Promise<number> =>
    receivedByQueue(await settled(box), "r").reduce((all, packets) => all + packets, 0);
  for (const hex of frames) {
    await python(network, "client", SEND, { interface: INTERFACES.client, frames: [hex, last] });
    const wanted = before + 1;
    await box.untilStatus("the frame behind it", ({ totals }) => totals.received >= wanted);
    const after = await sum();
    worker.push(after - before - 1);
    before = after;
  }
  const of = (counts: readonly number[]): Record<string, number> =>
    Object.fromEntries(names.map((name, index) => [name, counts[index]!]));
  assert.deepEqual(of(worker), of(kernel));
  assert.ok(kernel.includes(0) && kernel.includes(1));
});
