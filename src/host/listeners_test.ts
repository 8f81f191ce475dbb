import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { parseAddress } from "../packet/address.ts";
import { udpListeners } from "./listeners.ts";

const HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const line = (local: string, remote: string): string => ` 123: ${local} ${remote} 07 00000000:00000000 00:00000000 0\n`;
const ANY = "00000000:0000";
const ANY6 = `${"0".repeat(32)}:0000`;

Deno.test("udpListeners() finds sockets that packets from outside may reach", () => {
  const files: Readonly<Record<string, string>> = {
    "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "/proc/self/net/udp": HEAD +
      line("00000000:0035", ANY) + // any address
      line("0100007F:0036", ANY) + line("3500007F:0037", ANY) + // loopback
      line("0100A8C0:0038", ANY) + // 192.168.0.1
      line("00000000:0039", "0200A8C0:1234") + // connected
      line("00000000:8000", ANY),
    "/proc/self/net/udp6": HEAD +
      line(`${"0".repeat(32)}:003A`, ANY6) +
      line("00000000000000000000000001000000:003B", ANY6) + // ::1
      line("0000000000000000FFFF00000100007F:003C", ANY6) + // ::ffff:127.0.0.1
      line(`${"0".repeat(32)}:0035`, ANY6) +
      line("B80D01200000000000000000010000AA:0035", ANY6) + // 2001:db8::aa00:1
      line("0000000000000000FFFF00000100A8C0:003D", ANY6), // ::ffff:192.168.0.1
  };
  assert.deepEqual(udpListeners((path) => files[path]), [
    { port: 0x35, ephemeral: false },
    { port: 0x38, ephemeral: false, address: Uint8Array.of(192, 168, 0, 1) },
    { port: 0x8000, ephemeral: true },
    { port: 0x3a, ephemeral: false },
    { port: 0x35, ephemeral: false, address: parseAddress("2001:db8::aa00:1") },
    { port: 0x3d, ephemeral: false, address: Uint8Array.of(192, 168, 0, 1) },
  ]);
  assert.deepEqual(udpListeners(() => undefined), []);
});

Deno.test("udpListeners() sees a socket of this machine", async () => {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "0.0.0.0", resolve));
  const { port } = socket.address();
  assert.ok(udpListeners().some((listener) => listener.port === port));
  await new Promise<void>((resolve) => socket.close(resolve));
});
