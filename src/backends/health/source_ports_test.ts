import assert from "node:assert/strict";
import { ERRNO } from "../../ffi/errno.ts";
import type { LocalPorts } from "../../host/local_ports.ts";
import { SourcePorts } from "./source_ports.ts";

/** A socket that gets each port but those that are taken. */
class FakeSocket {
  readonly tried: number[] = [];

  constructor(private readonly taken: (port: number) => boolean = () => false) {}

  bind(port: number): number {
    this.tried.push(port);
    return this.taken(port) ? -ERRNO.EADDRINUSE : 0;
  }
}

const LOCAL: LocalPorts = { range: { first: 40_000, last: 40_009 }, reserved: [{ first: 40_009, last: 40_009 }] };

/** Ports that come out of all there are to choose from, in equal steps. */
function drawn(ports: SourcePorts): Set<number> {
  return new Set(Array.from({ length: 200 }, () => ports.bind(new FakeSocket())));
}

function portsOf(first: number, last: number): SourcePorts {
  let draw = 0;
  const ports = new SourcePorts(() => LOCAL, () => (draw++ * 0.0123) % 1);
  ports.steered = [{ first, last }];
  return ports;
}

Deno.test("the kernel chooses, where it would choose no port that is steered", () => {
  const unknown = new SourcePorts(() => undefined);
  unknown.steered = [{ first: 1, last: 65_535 }];
  for (const ports of [portsOf(1, 39_999), portsOf(40_009, 40_009), unknown, new SourcePorts(() => LOCAL)]) {
    const socket = new FakeSocket();
    assert.equal(ports.bind(socket), 0);
    assert.deepEqual(socket.tried, []);
    assert.equal(ports.allows(0), true);
  }
});

Deno.test("else one of the kernel's range that is neither steered nor reserved", () => {
  const ports = portsOf(40_003, 40_007);
  assert.deepEqual([...drawn(ports)].sort(), [40_000, 40_001, 40_002, 40_008]);
  assert.equal(ports.allows(0), false, "the kernel may have chosen one that is steered");
  assert.equal(ports.allows(40_002), true);
  assert.equal(ports.allows(40_003), false);
});

Deno.test("or any other that needs no privilege, where the whole range is steered", () => {
  const ports = portsOf(40_000, 40_009);
  const ours = drawn(ports);
  assert.ok(ours.size > 50 && [...ours].every((port) => port >= 1024 && (port < 40_000 || port > 40_009)));
});

Deno.test("ports that are taken are passed over, and a socket without one is as good as before", () => {
  const ports = portsOf(40_003, 40_007);
  const busy = new FakeSocket((port) => port !== 40_001);
  assert.equal(ports.bind(busy), 40_001);
  assert.ok(busy.tried.length > 1);
  const full = new FakeSocket(() => true);
  assert.equal(ports.bind(full), 0);
  assert.equal(full.tried.length, 100);
});

Deno.test("rules that begin to steer a port have it changed", () => {
  const ports = portsOf(40_003, 40_007);
  assert.equal(ports.allows(40_001), true);
  ports.steered = [{ first: 40_000, last: 40_002 }];
  assert.equal(ports.allows(40_001), false);
  ports.steered = [];
  assert.equal(ports.allows(0), true);
});
