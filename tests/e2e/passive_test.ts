import assert from "node:assert/strict";
import type { Status } from "./support/appliance.ts";
import { backendName, BOTH, FAMILIES, type Family, forwardConfig, forwardTo } from "./support/backends.ts";
import { Program } from "./support/programs.ts";
import { type ForwardScene, startScene } from "./support/scene.ts";
import { PATIENCE_MS, until } from "./support/wait.ts";

const PORT = 8080;

/**
 * Connected sockets. Says which backend answers each, and, once one has gone, asks on until each has an answer again:
 * how often a socket was told that the port is closed, and who has answered it.
 */
const CLIENTS = `
import json, socket, sys, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
clients = []
for _ in range(count):
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.settimeout(0.2)
    client.connect((address, port))
    clients.append(client)
refused, deadline = 0, time.monotonic() + 100
def ask():
    global refused
    answers = {}
    while len(answers) < count and time.monotonic() < deadline:
        for number, client in enumerate(clients):
            if number in answers: continue
            try:
                client.send(b"?")
                answers[number] = client.recv(100)[0]
            except ConnectionRefusedError: refused += 1
            except TimeoutError: pass
        time.sleep(0.1)
    return [answers.get(number) for number in range(count)]
print(json.dumps(ask()), flush=True)
sys.stdin.readline()
refused = 0
answers = ask()
print(json.dumps([answers, refused]), flush=True)
`;

function setScene(backends: readonly number[], more: string): Promise<ForwardScene> {
  const rule = forwardTo(PORT, backends, { more });
  return startScene((socket) => forwardConfig(socket, [rule]), { families: BOTH, serving: backends });
}

/** Clients, of which some have backend 1, which goes then. @returns who answered afterwards, and refusals. */
async function loseBackend({ network, host }: ForwardScene, family: Family, clients = 30): Promise<[number[], number]> {
  const argv = ["/usr/bin/python3", "-c", CLIENTS, FAMILIES[family].service, `${PORT}`, `${clients}`];
  const child = network.spawn("client", argv, { stdin: "piped", stderr: "inherit" });
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const line = async (number: number): Promise<string> => {
    while (text.split("\n").length < number + 2) {
      const { value, done } = await reader.read();
      assert.ok(!done, text);
      text += value;
    }
    return text.split("\n")[number]!;
  };
  const first = JSON.parse(await line(0)) as number[];
  assert.ok(first.filter((number) => number === 1).length >= 5, `${first}`);
  await host.stop(family, 1);
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("\n"));
  await writer.close();
  const result = JSON.parse(await line(1)) as [number[], number];
  await reader.cancel();
  await child.status;
  return result;
}

const healthOf = ({ backends }: Status, name: string): Status["backends"][number]["health"] =>
  backends.find((backend) => backend.name === name)!.health;

Deno.test("a backend whose process is gone: clients are told that the port is closed, and it is out within the bound", async () => {
  await using scene = await setScene([1, 2], ", passive: { no_answer: 5, within: 10s, unreachable: true, pause: 2s }");
  for (const family of BOTH) {
    const gone = backendName(family, 1);
    const [answered, refused] = await loseBackend(scene, family);
    assert.ok(refused >= 1, `${refused} times ECONNREFUSED`);
    assert.ok(answered.every((number) => number === 2), `${answered}`);
    const told = scene.box.log.find(({ message }) => message.includes(`Backend ${gone} is unhealthy: `));
    assert.match(told!.message, /\d+ ICMP errors \(unreachable\) about packets to it, and no answer since$/);
    // Nobody checks it, so it is tried again after the pause.
    await scene.host.serve(family, 1);
    await scene.box.untilStatus("the end of the pause", (status) => healthOf(status, gone) === null);
  }
});

Deno.test("sessions that get no answer count too, and it comes back by its check", async () => {
  const check = "health: { check: udp, interval: 0.2, timeout: 0.15, rise: 3, fall: 100 }";
  await using scene = await setScene([1, 2], `, passive: { no_answer: 5, within: 2s, unreachable: false }, ${check}`);
  const { box, host } = scene;
  const gone = backendName("IPv4", 1);
  const [answered] = await loseBackend(scene, "IPv4");
  assert.ok(answered.every((number) => number === 2), `${answered}`);
  const out = healthOf(await box.status(), gone)!;
  assert.equal(out.healthy, false);
  // By now the check may have given it up too.
  const told = box.log.find(({ message }) => message.includes(`Backend ${gone} is unhealthy: `));
  assert.match(told!.message, /: no answer in 2 s to any of \d+ sessions$/);
  assert.equal(healthOf(await box.status(), backendName("IPv4", 2))!.healthy, true);
  await host.serve("IPv4", 1);
  const back = await box.untilStatus("its check to succeed", (status) => healthOf(status, gone)!.healthy, PATIENCE_MS);
  assert.equal(healthOf(back, gone)!.reason, "answered");
});

Deno.test("the last backend that is left stays in use, whatever it is asked in vain", async () => {
  await using scene = await setScene([1], ", passive: { no_answer: 1, within: 1s }");
  const { box, host, network } = scene;
  await host.stop("IPv4", 1);
  const script = `
import socket, sys, time
for _ in range(30):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"?", (sys.argv[1], int(sys.argv[2])))
    time.sleep(0.1)
`;
  const argv = ["/usr/bin/python3", "-c", script, FAMILIES.IPv4.service, `${PORT}`];
  await using program = Program.run(network.names.client, argv);
  await program.result();
  await until("errors", async () => ((await box.status()).totals.fates["error_returned"] ?? 0) > 0);
  assert.equal(healthOf(await box.status(), backendName("IPv4", 1)), null);
  await host.serve("IPv4", 1);
});
