import assert from "node:assert/strict";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { answersOf, fatesOf, settled, strayAnswers } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { BACK, BACKEND_PORT, backendAddress, BackendHost, BOTH, FAMILIES, FAR, forwardTo } from "./support/backends.ts";
import { defaultConfig } from "./support/defaults.ts";
import { Program } from "./support/programs.ts";
import { python } from "./support/python.ts";

const PORT = 8080;
const MTU = 3000;
const ROUNDS = 100;
/** Requests of a round: small ones, and ones whose answer is large. */
const SMALL = 20;
const LARGE = 10;

/** Sends back what it gets, and 2,900 bytes where that begins with an L. */
const BACKEND = `
import socket, sys
address, port = sys.argv[1], int(sys.argv[2])
server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
# Sends what it is to send, though it is told that it is too big.
level, option = (socket.IPPROTO_IPV6, 23) if ":" in address else (socket.IPPROTO_IP, 10)
server.setsockopt(level, option, 3)
server.bind((address, port))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(65535)
    server.sendto(b"L" * 2900 if data[:1] == b"L" else data, peer)
`;

const CLIENT = `
client = socket.socket(family(options["address"]), socket.SOCK_DGRAM)
client.settimeout(20)
client.connect((options["address"], options["port"]))
wrong = 0
for round in range(options["rounds"]):
    expected = set()
    for number in range(options["small"]):
        data = b"s%d-%d " % (round, number) + os.urandom(400)
        expected.add(data)
        client.send(data)
        if number * options["large"] % options["small"] < options["large"]: client.send(b"L")
    while expected:
        answer = client.recv(65535)
        if answer in expected: expected.remove(answer)
        else: wrong += 1
print(wrong)
`;

for (const family of BOTH) {
  Deno.test(`answers too large for the chunks of the clients' interface harm no others, and are counted: ${family}`, async () => {
    await using network = await TestNetwork.create({ mtu: MTU });
    await using host = await BackendHost.create(network);
    await network.exec("steer", ["ip", "link", "set", BACK, "mtu", `${MTU}`]);
    await host.exec(["ip", "link", "set", FAR, "mtu", `${MTU}`]);
    const argv = ["/usr/bin/python3", "-c", BACKEND, backendAddress(family, 1), `${BACKEND_PORT}`];
    await using _backend = await Program.start(host.name, argv, "ready\n");
    const interfaces = [`{ name: ${INTERFACES.steer} }`, `{ name: ${BACK}, umem: { chunk_size: 4096 } }`];
    const rule = forwardTo(PORT, [1], { families: [family] });
    await using box = await startAppliance(network, (socket) => defaultConfig(socket, interfaces, [rule]));
    const options = { address: FAMILIES[family].service, port: PORT, rounds: ROUNDS, small: SMALL, large: LARGE };
    assert.equal(await python(network, "client", CLIENT, options), 0, "answers that are no request's");
    const status = await settled(box);
    assert.deepEqual(fatesOf(status, "web"), { forwarded: ROUNDS * (SMALL + LARGE) });
    assert.deepEqual(strayAnswers(status), {});
    assert.deepEqual(answersOf(status, "web"), { returned: ROUNDS * SMALL, too_big: ROUNDS * LARGE });
    assert.equal(status.totals.fates.malformed ?? 0, 0);
  });
}
