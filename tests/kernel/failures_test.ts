/** Calls that fail, for real: each is an error with the call's name, its errno and a hint, and never anything else. */
import assert from "node:assert/strict";
import { LIMIT } from "../../src/bpf/layout.gen.ts";
import { SyscallError } from "../../src/errors.ts";
import { syscallError } from "../../src/ffi/errno.ts";
import { IpSocket } from "../../src/ffi/ip_socket.ts";
import { BpfRingBuffer, lookupRange } from "../../src/ffi/libbpf.ts";
import { bindSocket, getXdpOption, interfaceIoctl, mapMemory, pinThread } from "../../src/ffi/libc.ts";
import { sendUnixDatagram, setXdpOption } from "../../src/ffi/libc.ts";
import { MappedMemory } from "../../src/ffi/memory.ts";
import { UdpSocket } from "../../src/ffi/udp.ts";

const NO_FD = -1;
const BYTES = (): Uint8Array<ArrayBuffer> => new Uint8Array(8);
const NOWHERE = { address: new Uint8Array([192, 0, 2, 1]), port: 9 };

/** What fails, with which errno, and the name of the call that says so. */
const FAILURES: Readonly<Record<string, readonly [code: string, work: () => unknown]>> = {
  "setsockopt(XDP_RX_RING)": ["EBADF", () => setXdpOption(NO_FD, 2, "XDP_RX_RING", BYTES(), "make a ring")],
  "getsockopt(XDP_STATISTICS)": ["EBADF", () => getXdpOption(NO_FD, 7, "XDP_STATISTICS", BYTES(), "read counters")],
  "mmap": ["EINVAL", () => mapMemory(0, 0x22, NO_FD, 0, "map nothing")],
  "sched_setaffinity": ["EINVAL", () => pinThread(1023)],
  "sendto": ["ENOENT", () => sendUnixDatagram(unixAddress("/none/there"), BYTES(), "notify")],
  "bpf_map_lookup_batch": ["EBADF", () => lookupRange(NO_FD, 0, 1, 8, "read counters")],
  "ring_buffer__new": ["EBADFD", () => new BpfRingBuffer(NO_FD, () => {})],
  "bind": ["EADDRNOTAVAIL", () => new UdpSocket({ local: NOWHERE, receiveBufferBytes: 4096, segmentBytes: 0 })],
};

function unixAddress(path: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(2 + path.length + 1);
  new DataView(bytes.buffer).setUint16(0, 1, true);
  new TextEncoder().encodeInto(path, bytes.subarray(2));
  return bytes;
}

for (const [call, [code, work]] of Object.entries(FAILURES)) {
  Deno.test(`${call} that fails is an error with its name, errno and a hint`, () => {
    assert.throws(work, (error) => {
      assert.ok(error instanceof SyscallError, String(error));
      assert.deepEqual([error.call, error.code], [call, code]);
      assert.ok(error.errno > 0 && error.hint !== undefined && error.hint !== "");
      assert.match(error.message, new RegExp(`^Cannot .*: .* failed with ${code} \\(\\d+\\)$`));
      return true;
    });
  });
}

Deno.test("calls whose refusal is an answer return it", () => {
  assert.equal(bindSocket(NO_FD, BYTES()), -9);
  assert.ok(interfaceIoctl(0x8946, new Uint8Array(40)) < 0);
  using socket = IpSocket.tcp({ address: new Uint8Array([240, 0, 0, 1]), port: 1 });
  assert.ok(socket.connect() < 0);
});

Deno.test("memory there is none of is an error with a hint", () => {
  const failed = (error: unknown): boolean =>
    error instanceof SyscallError && error.call === "mmap" && error.code === "ENOMEM" && error.hint !== undefined;
  assert.throws(() => MappedMemory.anonymous(2 ** 47, "map packet memory"), failed);
});

Deno.test("every errno of every call has a hint", () => {
  for (const call of ["bind", "bpf_link_create", "setsockopt(XDP_UMEM_REG)", "mmap", "made up"]) {
    for (let errno = 1; errno <= 133; errno++) assert.notEqual(syscallError(call, errno, "try").hint ?? "", "");
  }
  assert.match(syscallError("socket", 24, "open a socket").hint!, /LimitNOFILE/);
});

Deno.test("there is a rule slot for every rule of two generations", () => assert.ok(LIMIT.RULE_SLOTS >= 2 * 4096 + 65));
