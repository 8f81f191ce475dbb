import assert from "node:assert/strict";
import { TRANSLATION_PORTS } from "../../src/steering/slots.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import { buildIcmpError, ICMP_ERROR, ipPacketOf } from "../../src/traffic/icmp_frames.ts";
import { INTERFACES, IPV4, IPV6, MACS, TestNetwork } from "../support/netns.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { BACK, BACKEND_PORT, backendAddress, BackendHost, BOTH, FAMILIES, type Family } from "./support/backends.ts";
import { defaultConfig } from "./support/defaults.ts";
import { Program } from "./support/programs.ts";
import { sendFrames } from "./support/raw_frames.ts";
import { until } from "./support/wait.ts";

const CLIENT = { IPv4: IPV4.client, IPv6: IPV6.client } as const;
const SERVICE = { IPv4: IPV4.steer, IPv6: IPV6.steer } as const;
const SERVICE_PORT = 8080;
const ATTACKER_PORT = 40_000;
/** Bytes of payload: of the largest answers that nobody can have cut, and of larger ones. */
const UNCUT = { IPv4: 1252, IPv6: 1232 } as const;
const LARGE = 1400;
/** Of the box, as the backends see it. */
const BOX = { IPv4: FAMILIES.IPv4.net(2), IPv6: FAMILIES.IPv6.net(2) } as const;
const ASKED = 20;

/** An ordinary server: it leaves DF and fragments to its kernel, and answers with as many bytes as it is asked for. */
const SERVER = `
import socket, sys
address, port = sys.argv[1], int(sys.argv[2])
server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((address, port))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(65535)
    server.sendto(b"x" * int(data), peer)
`;

/** Asks so often for so many bytes, and waits for each answer. Prints how many came. */
const ASK = `
import socket, sys
address, port, size, times, wait = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(wait)
client.connect((address, port))
came = 0
for _ in range(times):
    client.send(size.encode())
    try: came += len(client.recv(65535)) == int(size)
    except TimeoutError: pass
print(came)
`;

/** What the attacker sends: one packet that begins a session, and errors about the answer to it. */
function attack(family: Family, mtu: number | undefined): Uint8Array {
  const client = { mac: MACS.client, address: CLIENT[family], port: ATTACKER_PORT };
  const service = { mac: MACS.steer, address: SERVICE[family], port: SERVICE_PORT };
  if (mtu === undefined) {
    return buildFrame({ source: client, destination: service, payload: new TextEncoder().encode("100") }).bytes;
  }
  const [type, code] = ICMP_ERROR.tooBig[family];
  const answer = buildFrame({ source: service, destination: client, payload: new Uint8Array(100) });
  const quoted = ipPacketOf(answer);
  return buildIcmpError({ source: client, destination: service, quoted, type, code, parameter: mtu }).bytes;
}

for (const family of BOTH) {
  Deno.test(`one client cannot have the answers to all others cut into fragments: ${family}`, async (test) => {
    await using network = await TestNetwork.create();
    await using host = await BackendHost.create(network);
    const address = backendAddress(family, 1);
    await using _server = await Program.start(
      host.name,
      ["/usr/bin/python3", "-c", SERVER, address, `${BACKEND_PORT}`],
      "ready\n",
    );
    const to = family === "IPv6" ? `[${address}]` : address;
    const rules = [
      `{ name: web, ports: ${SERVICE_PORT}, action: { forward: { to: ["${to}:${BACKEND_PORT}"] } } }`,
    ];
    const interfaces = [`{ name: ${INTERFACES.steer} }`, `{ name: ${BACK} }`];
    await using box = await startAppliance(network, (socket) => defaultConfig(socket, interfaces, rules));
    const ask = async (size: number, times: number, wait: number): Promise<string> => {
      const args = [SERVICE[family], `${SERVICE_PORT}`, `${size}`, `${times}`, `${wait}`];
      await using program = Program.run(network.names.client, ["/usr/bin/python3", "-c", ASK, ...args]);
      return (await program.result()).trim();
    };
    const send = (mtu?: number): Promise<void> =>
      sendFrames(network.names.client, INTERFACES.client, [attack(family, mtu)]);
    const learned = (): Promise<string> => host.exec(["ip", "route", "get", BOX[family]]);

    await test.step("before: every answer that the links carry arrives", async () => {
      assert.equal(await ask(LARGE, ASKED, 30), `${ASKED}`);
    });

    await test.step("an error with a smaller MTU than every IPv6 link has is not sent on", async () => {
      await send();
      // The attacker's kernel knows nothing of its port, and says so.
      await box.untilStatus("port unreachable", (status) => fatesOf(status, "web").error_forwarded === 1);
      for (const mtu of [0, 68, 1279]) await send(mtu);
      await box.untilStatus("three errors", (status) => fatesOf(status, "web").error_mtu_low === 3);
      assert.equal(fatesOf(await settled(box), "web").error_forwarded, 1);
      assert.doesNotMatch(await learned(), /mtu/);
      assert.equal(await ask(LARGE, ASKED, 30), `${ASKED}`);
    });

    await test.step("what 1280 bytes carry arrives whatever anybody says", async () => {
      await send(1280);
      await box.untilStatus("an error", (status) => fatesOf(status, "web").error_forwarded === 2);
      assert.match(await learned(), /mtu 1280/);
      assert.equal(await ask(UNCUT[family], ASKED, 30), `${ASKED}`);
    });

    await test.step("larger answers are cut, and the list of problems says so until they arrive again", async () => {
      let answered = "";
      const problem = await until("the problem", async () => {
        const found = await box.problem("packets_too_big");
        if (found === undefined) answered += await ask(LARGE, 10, 0.01);
        return found;
      });
      assert.match(answered, /^0+$/);
      assert.equal(problem.subject.name, TRANSLATION_PORTS);
      assert.match(problem.message, /^\d+ % of .* came in fragments, which are not steered$/);
      await host.exec(["ip", "route", "flush", "cache"]);
      await host.exec(["ip", "-6", "route", "flush", "cache"]);
      await until("its end", async () => (await box.problem("packets_too_big")) === undefined);
      assert.equal(await ask(LARGE, ASKED, 30), `${ASKED}`);
    });
  });
}
