import assert from "node:assert/strict";
import { INTERFACES, IPV4, MACS, TestNetwork } from "../support/netns.ts";
import { type Appliance, type LogLine, startAppliance } from "./support/appliance.ts";
import { UnitUser } from "./support/ordinary_user.ts";
import { python } from "./support/python.ts";
import { freezeThread, freezeWorker } from "./support/freeze.ts";
import { untilWatched } from "./support/tracepoints.ts";
import { until } from "./support/wait.ts";

const PORT = 8080;

/** One flow, so that one queue gets it. */
const SEND = `
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(options["packets"]):
    sender.sendto(b"x" * options["bytes"], (options["address"], options["port"]))
    if number % 50 == 49: time.sleep(0.005)
print("null")
`;

/** Frames whose UDP length is a lie. */
const SEND_MALFORMED = `
import struct
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((options["interface"], 0))
mac = lambda text: bytes.fromhex(text.replace(":", ""))
udp = struct.pack("!HHHH", 1000, options["port"], 7, 0) + b"x" * 20
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
    socket.inet_aton(options["source"]), socket.inet_aton(options["address"]))
frame = mac(options["destination_mac"]) + mac(options["source_mac"]) + b"\\x08\\x00" + ip + udp
for number in range(options["packets"]):
    sender.send(frame)
    time.sleep(options["pause_s"])
print("null")
`;

async function send(network: TestNetwork, packets: number): Promise<void> {
  await python(network, "client", SEND, { packets, bytes: 20, address: IPV4.steer, port: PORT });
}

async function sendMalformed(network: TestNetwork, packets: number, pauseS: number): Promise<void> {
  const addresses = { source: IPV4.client, address: IPV4.steer, source_mac: MACS.client, destination_mac: MACS.steer };
  const options = { packets, pause_s: pauseS, interface: INTERFACES.client, port: PORT, ...addresses };
  await python(network, "client", SEND_MALFORMED, options);
}

const said = (box: Appliance, words: RegExp): LogLine[] => box.log.filter(({ message }) => words.test(message));
const number = (line: LogLine, name: string): number => Number(line.properties[name]);
const suppressed = (lines: readonly LogLine[]): number =>
  lines.reduce((sum, line) => sum + number(line, "suppressed"), 0);

/** The one sample of a drop reason that is not zero, as its labels. */
async function dropsOf(box: Appliance, reason: string): Promise<{ queue: number; worker: number; packets: number }> {
  const samples = [...await box.metrics()].filter(([name, value]) =>
    name.startsWith("xdpsteer_xsk_drops_total{") && name.includes(`reason="${reason}"`) && value > 0
  );
  assert.equal(samples.length, 1, JSON.stringify(samples));
  const [name, packets] = samples[0]!;
  const label = (key: string): number => Number(new RegExp(`${key}="(\\d+)"`).exec(name)![1]);
  return { queue: label("queue"), worker: label("worker"), packets };
}

/**
 * Sends while the rule's worker and the control thread stand still, which the kernel does not, and lets it tell of it.
 * The other worker turns, so that not everything passes to the kernel stack. @returns the seconds it took.
 */
async function sendToStopped(network: TestNetwork, box: Appliance, packets: number): Promise<number> {
  await untilWatched(box);
  await using _worker = await freezeWorker(box, 1);
  await using _control = await freezeThread(box.pid);
  const start = performance.now();
  await send(network, packets);
  return (performance.now() - start) / 1000;
}

/** The most lines that a kind of event may make in so many seconds: one for each second and CPU. */
const mostLines = (seconds: number): number => (Math.floor(seconds) + 2) * navigator.hardwareConcurrency;

/** Without CAP_IPC_LOCK little memory may be locked. */
const LITTLE_MEMORY = "umem: { chunks: 1024 }, rings: { rx: 64, tx: 64, fill: 1024, completion: 64 }";
const RULES = [`{ name: game, ports: ${PORT}, worker: 1 }`];

const FULL_RINGS = [
  {
    name: "a full rx ring",
    memory: "umem: { chunks: 4096 }, rings: { rx: 64, tx: 64, fill: 4096, completion: 64 }",
    errno: "ENOBUFS",
    reason: "rx_ring_full",
    message: /The rx ring of worker (\d) on queue (\d) of steer0 is full.*does not keep up.*enlarge rings\.rx/,
  },
  {
    name: "an empty fill ring",
    memory: "umem: { chunks: 64 }, rings: { rx: 1024, tx: 64, fill: 64, completion: 64 }",
    errno: "ENOMEM",
    reason: "rx_dropped",
    message: /The fill ring of queue (\d) of steer0 is empty.*for worker (\d).*Enlarge umem\.chunks and rings\.fill/,
  },
] as const;

for (const { name, memory, errno, reason, message } of FULL_RINGS) {
  Deno.test(`${name} is in the log with its queue and worker, and all that it cost`, async () => {
    await using network = await TestNetwork.create();
    await using box = await startAppliance(network, { rules: RULES, memory });
    const seconds = await sendToStopped(network, box, 600);
    const first = await until("the redirect error in the log", () => said(box, message)[0]);
    const drops = await dropsOf(box, reason);
    assert.equal(first.level, "warning");
    assert.equal(first.logger, "xdpsteer.kernel");
    assert.deepEqual(
      { errno: first.properties.errno, queue: number(first, "queue"), worker: number(first, "worker") },
      { errno, queue: drops.queue, worker: drops.worker },
    );
    assert.equal(drops.worker, 1);
    assert.ok(drops.packets > 400, `${drops.packets}`);
    // One a CPU and second, and nothing is lost on the way into the log.
    const lines = (): LogLine[] => said(box, message);
    const rests = new RegExp(`more packets? dropped on steer0 for the same cause \\(${errno}\\)`);
    const told = (): number => lines().length + suppressed(lines()) + suppressed(said(box, rests));
    await until("all to be told of", () => told() >= drops.packets, { describe: () => [told(), drops.packets] });
    assert.equal(told(), drops.packets);
    assert.ok(lines().length <= mostLines(seconds), `${lines().length} lines`);
  });
}

Deno.test("a flood of malformed packets is one line a second, and the numbers add up to what was sent", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  const startedMs = performance.now();
  await sendMalformed(network, 2500, 0.001);
  const seconds = (performance.now() - startedMs) / 1000;
  const rests = /^Not reported since the last one: \d+ more events? \(malformed\) on steer0/;
  await until("the end of the flood in the log", () => said(box, rests)[0]);
  const lines = said(box, /A malformed packet \(bad_length, 62 bytes\) on queue \d of steer0/);
  assert.ok(lines.length >= 2, `${lines.length} lines`);
  assert.ok(lines.length <= mostLines(seconds), `${lines.length} lines`);
  assert.equal(lines.length + suppressed(lines) + suppressed(said(box, rests)), 2500);
});

Deno.test("what was held back is told at the stop too", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  await sendMalformed(network, 100, 0);
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0);
  const lines = said(box, /A malformed packet/);
  const rests = said(box, /more events? \(malformed\)/);
  assert.equal(lines.length + suppressed(lines) + suppressed(rests), 100);
});

Deno.test("a kernel that does not describe itself costs the tracepoints only, and the log says so once", async () => {
  await using network = await TestNetwork.create();
  const hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"];
  await using box = await startAppliance(network, { rules: RULES }, { as: hidden });
  await send(network, 100);
  await box.untilStatus("100 packets", ({ totals }) => totals.received === 100);
  await sendMalformed(network, 1, 0);
  await until("the malformed packet in the log", () => said(box, /A malformed packet/)[0]);
  const notWatched = /tracepoints xdp_redirect_err and xdp_exception are not watched: Cannot load the BPF object/;
  await until("the tracepoints in the log", () => said(box, notWatched)[0]); // they are loaded a little after the start
  assert.deepEqual(said(box, notWatched).map(({ level }) => level), ["info"]);
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0);
});

Deno.test("an ordinary user with the unit's capabilities hears the tracepoints too", async () => {
  await using user = await UnitUser.create();
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES, memory: LITTLE_MEMORY }, user.options);
  await sendToStopped(network, box, 300);
  await until(
    "the redirect error in the log",
    () => said(box, /The rx ring of worker 1 on queue \d of steer0 is full/)[0],
  );
});
