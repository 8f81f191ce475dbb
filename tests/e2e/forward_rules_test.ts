import assert from "node:assert/strict";
import { buildFrame, type FrameOptions } from "../../src/traffic/frames.ts";
import { INTERFACES, IPV4, IPV6, MACS, TestNetwork } from "../support/netns.ts";
import { fatesOf, settled, strayAnswers } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { BACK, BACKEND_PORT, backendAddress, BackendHost, BOTH, FAMILIES, FAR, forwardTo } from "./support/backends.ts";
import { defaultConfig } from "./support/defaults.ts";
import { Program } from "./support/programs.ts";
import { sendFrames } from "./support/raw_frames.ts";

const PORT = 8080;
const HEADERS = { IPv4: 28, IPv6: 48 } as const;
/** "Time exceeded" and "too big", as a socket is told of them: type, code, MTU. */
const ERRORS = {
  IPv4: { hops: [11, 0, 0], tooBig: (mtu: number) => [3, 4, mtu] },
  IPv6: { hops: [3, 0, 0], tooBig: (mtu: number) => [2, 0, mtu] },
} as const;

/** Numbers of Linux that Python's socket module lacks; and what the error queue holds: type, code, MTU of each. */
const SOCKETS = `
import json, socket, struct, sys, time
def opened(address):
    six = ":" in address
    made = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    made.setsockopt(level, 25 if six else 11, 1) # RECVERR
    made.setsockopt(level, 23 if six else 10, 3) # MTU_DISCOVER: set DF, and send what is to be sent
    return made, lambda hops: made.setsockopt(level, socket.IPV6_UNICAST_HOPS if six else socket.IP_TTL, hops)
def errors(made):
    found = []
    while True:
        try:
            for _, _, data in made.recvmsg(1, 1024, socket.MSG_ERRQUEUE)[1]:
                error, _, kind, code, _, mtu = struct.unpack_from("=IBBBBI", data)
                found.append([kind, code, mtu])
        except (BlockingIOError, TimeoutError):
            return found
def patiently(call, *args):
    while True:
        try: return call(*args)
        except OSError as error:
            if isinstance(error, TimeoutError): raise
`;

/** Answers with as many bytes as it is asked for, with few hops for "hops", and says which errors it was told of. */
const BACKEND = `${SOCKETS}
server, set_hops = opened(sys.argv[1])
server.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
told = []
while True:
    data, peer = patiently(server.recvfrom, 65535)
    told += errors(server)
    word = data.decode().split()
    if word[0] == "told":
        answer, told = json.dumps({"told": told, "peer": peer[:2]}).encode(), []
    else:
        answer = b"x" * int(word[1])
    if word[0] == "hops": set_hops(1)
    patiently(server.sendto, answer, peer)
    if word[0] == "hops": set_hops(64)
`;

/** Sends words, each until there is what is wanted: an answer, or that the backend was told. */
const CLIENT = `${SOCKETS}
options = json.loads(sys.argv[1])
client, set_hops = opened(options["address"])
client.bind((options["source"], options["port"]))
client.connect((options["address"], 8080))
def ask(word, seconds):
    client.settimeout(seconds)
    patiently(client.send, word.encode())
    try: return patiently(client.recv, 65535)
    except TimeoutError: return b""
def told():
    while True:
        answer = ask("told", 20)
        if answer[:1] == b"{": return json.loads(answer)
def until_answered(word, size):
    while time.monotonic() < deadline:
        if len(ask(word, 1)) == size: return True
def until_told(word, wanted):
    found = []
    while time.monotonic() < deadline:
        ask(word, 0.2)
        found = told()["told"]
        if wanted in found: break
    return found
def client_told():
    while time.monotonic() < deadline:
        set_hops(1)
        ask("size 1", 0.2)
        set_hops(64)
        found = errors(client)
        if found: return found
def client_told_of(size, wanted):
    found = []
    while time.monotonic() < deadline:
        ask("size 1".ljust(size), 0.2)
        found = errors(client)
        if wanted in found: break
    return found
deadline = time.monotonic() + 60
print(json.dumps(eval(options["run"])))
`;

for (const family of BOTH) {
  Deno.test(`both directions: MTUs, hops and interfaces, with the defaults: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using host = await BackendHost.create(network);
    const backend = backendAddress(family, 1);
    const argv = ["/usr/bin/python3", "-c", BACKEND, backend, `${BACKEND_PORT}`];
    await using _backend = await Program.start(host.name, argv, "ready\n");
    const rule = forwardTo(PORT, [1], { families: [family] });
    const interfaces = [`{ name: ${INTERFACES.steer} }`, `{ name: ${BACK} }`];
    await using box: Appliance = await startAppliance(
      network,
      (socket) => defaultConfig(socket, interfaces, [rule]),
    );
    const { service } = FAMILIES[family];
    const client = { address: (family === "IPv4" ? IPV4 : IPV6).client, port: 40_000 };
    const run = <T>(expression: string): Promise<T> =>
      network.exec("client", [
        "/usr/bin/python3",
        "-c",
        CLIENT,
        JSON.stringify({
          address: service,
          source: client.address,
          port: client.port,
          run: expression,
        }),
      ]).then((text) => JSON.parse(text));
    const payload = (ipBytes: number): number => ipBytes - HEADERS[family];
    const asked = (ipBytes: number): string => `"size ${payload(ipBytes)}"`;
    const errors = ERRORS[family];

    const assertTold = async (word: string, error: readonly number[]): Promise<void> => {
      const told = await run<number[][]>(`until_told(${word}, ${JSON.stringify(error)})`);
      assert.ok(told.some((each) => `${each}` === `${error}`), `${JSON.stringify(told)}, not ${error}`);
    };
    assert.ok(await run(`until_answered(${asked(1500)}, ${payload(1500)})`));
    for (const mtu of [1300, 1400]) {
      await network.exec("steer", ["ip", "link", "set", INTERFACES.steer, "mtu", `${mtu}`]);
      await assertTold(asked(1500), errors.tooBig(mtu)); // it follows the interface
      await assertTold(asked(mtu + 1), errors.tooBig(mtu));
      assert.ok(await run(`until_answered(${asked(mtu)}, ${payload(mtu)})`));
    }
    await network.exec("steer", ["ip", "link", "set", INTERFACES.steer, "mtu", "1500"]);
    assert.ok(await run(`until_answered(${asked(1500)}, ${payload(1500)})`));

    const backTo = [backend, BACK] as const;
    for (const [[address, device], mtu] of [[[client.address, INTERFACES.steer], 1350], [backTo, 1380]] as const) {
      const route = [`${address}/${family === "IPv4" ? 32 : 128}`, "dev", device, "mtu", `${mtu}`];
      await network.exec("steer", ["ip", "route", "add", ...route]);
      const error = errors.tooBig(mtu);
      if (address === backend) {
        const told = await run<number[][]>(`client_told_of(${payload(mtu + 1)}, ${JSON.stringify(error)})`);
        assert.ok(told.some((each) => `${each}` === `${error}`), `${JSON.stringify(told)}, not ${error}`);
      } else {
        await assertTold(asked(mtu + 1), error);
        assert.ok(await run(`until_answered(${asked(mtu)}, ${payload(mtu)})`));
      }
      await network.exec("steer", ["ip", "route", "del", ...route]);
    }
    assert.ok(await run(`until_answered(${asked(1500)}, ${payload(1500)})`));

    await assertTold('"hops 1"', errors.hops);
    const [told] = await run<number[][]>("client_told()");
    assert.deepEqual(told, errors.hops);

    const { peer: [box1, translation] } = await run<{ peer: [string, number] }>("told()");
    const before = await settled(box);
    const forge = async (from: string, frame: FrameOptions): Promise<void> => {
      const { bytes } = buildFrame({ ...frame, payload: new Uint8Array(20) });
      await sendFrames(from === FAR ? host.name : network.names.client, from, [bytes]);
    };
    // The clients' side forges an answer; the backends' side a packet of the client.
    await forge(INTERFACES.client, {
      source: { mac: MACS.client, address: backend, port: BACKEND_PORT },
      destination: { mac: MACS.steer, address: box1, port: translation },
    });
    const [, backMac] = /link\/ether (\S+)/.exec(await network.exec("steer", ["ip", "link", "show", BACK]))!;
    const [, farMac] = /link\/ether (\S+)/.exec(await host.exec(["ip", "link", "show", FAR]))!;
    await forge(FAR, {
      source: { mac: farMac!, ...client },
      destination: { mac: backMac!, address: service, port: PORT },
    });
    await box.untilStatus("the forged packets", ({ totals }) => totals.received >= before.totals.received + 2);
    const status = await settled(box);
    assert.equal(strayAnswers(status).wrong_interface, 1);
    assert.equal(fatesOf(status, "web").wrong_interface, 1);
    assert.equal(status.totals.received, before.totals.received + 2);
    assert.ok(await run(`until_answered(${asked(100)}, ${payload(100)})`), "the session is not diverted");
    assert.deepEqual((await run<{ peer: unknown }>("told()")).peer, [box1, translation]);
  });
}
