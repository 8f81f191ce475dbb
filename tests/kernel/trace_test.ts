import assert from "node:assert/strict";
import { KernelTrace, type TraceEvent, type Watched } from "../../src/bpf/trace.ts";
import { possibleCpus } from "../../src/ffi/libbpf.ts";
import { compileBpf } from "../e2e/support/bpf.ts";
import { TempDir } from "../e2e/support/command.ts";
import { python } from "../e2e/support/python.ts";
import { sleep, until } from "../e2e/support/wait.ts";
import { INTERFACES, IPV4, TestNetwork } from "../support/netns.ts";

const PORT = 9000;

/** An XDP program that does one thing with UDP to PORT, and passes the rest. */
const program = (verdict: string): string => `
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); } ports SEC(".maps");
SEC("xdp") int other_program(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct iphdr *ip = data + sizeof(struct ethhdr);
  struct udphdr *udp = (void *)(ip + 1);
  if ((void *)(udp + 1) > end || ip->protocol != 17 || udp->dest != bpf_htons(${PORT})) return XDP_PASS;
  return ${verdict};
}
char _license[] SEC("license") = "GPL";
`;

const SEND = `
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(options["packets"]):
    sender.sendto(b"x" * 20, (options["address"], options["port"]))
    if number % 50 == 49: time.sleep(0.005)
print("null")
`;

/** Interfaces without an xsk_map of ours. */
const watch = (...ifindexes: number[]): Watched[] => ifindexes.map((ifindex) => ({ ifindex, mapId: 0 }));

interface Scene {
  readonly network: TestNetwork;
  readonly ifindex: number;
  readonly netns: number;
}

async function scene(network: TestNetwork, verdict: string): Promise<Scene> {
  await using directory = await TempDir.create();
  const object = await compileBpf(directory.path, "other", program(verdict));
  await network.exec("steer", ["ip", "link", "set", "dev", INTERFACES.steer, "xdpdrv", "obj", object, "sec", "xdp"]);
  const netns = Number(await network.exec("steer", ["stat", "-Lc", "%i", "/proc/self/ns/net"]));
  const ifindex = Number(await network.exec("steer", ["cat", `/sys/class/net/${INTERFACES.steer}/ifindex`]));
  return { network, netns, ifindex };
}

/** @returns the seconds it took. */
async function send({ network }: Scene, packets: number): Promise<number> {
  const start = performance.now();
  await python(network, "client", SEND, { packets, address: IPV4.steer, port: PORT });
  return (performance.now() - start) / 1000;
}

interface Told {
  readonly events: readonly TraceEvent[];
  readonly accounted: number;
  readonly rests: readonly string[];
  /** How many seconds the packets took. */
  readonly seconds: number;
}

/** Everything that is told of `packets` packets, and how many it accounts for. */
async function told(at: Scene, packets: number): Promise<Told> {
  const events: TraceEvent[] = [];
  using trace = await KernelTrace.open(watch(at.ifindex), (event) => events.push(event), at.netns);
  const seconds = await send(at, packets);
  await until("an event", () => {
    trace.consume();
    return events.length > 0;
  });
  const rests = trace.rest(true);
  const suppressed = [...events, ...rests].reduce((sum, event) => sum + event.suppressed, 0);
  return { events, accounted: events.length + suppressed, rests: rests.map(({ what }) => what), seconds };
}

const CASES = [
  { verdict: "XDP_ABORTED", event: { kind: "exception", interface: 0, act: "XDP_ABORTED" }, what: "XDP_ABORTED" },
  { verdict: "77", event: { kind: "exception", interface: 0, act: "77" }, what: "other codes" },
  { verdict: "bpf_redirect(99999, 0)", event: { kind: "redirect_err", interface: 0, errno: "EINVAL" }, what: "EINVAL" },
] as const;

for (const { verdict, event, what } of CASES) {
  Deno.test(`KernelTrace reports what comes of ${verdict}, one event a second and CPU, and counts the rest`, async () => {
    await using network = await TestNetwork.create();
    const at = await scene(network, verdict);
    const { events, accounted, rests, seconds } = await told(at, 500);
    assert.ok(events.length <= (Math.floor(seconds) + 1) * possibleCpus(), `${events.length} events`);
    const { suppressed: _, ...first } = events[0]!;
    assert.deepEqual({ ...first, ...event }, first, JSON.stringify(first));
    assert.equal(accounted, 500);
    assert.deepEqual(rests, [what]);
  });
}

Deno.test("KernelTrace names the map and the index of a redirect that failed", async () => {
  await using network = await TestNetwork.create();
  // The loopback device, which cannot send what XDP redirects.
  const at = await scene(network, "bpf_redirect_map(&ports, 3, 0)");
  const maps: { id: number; name: string; type: string }[] = JSON.parse(
    await network.exec("steer", ["bpftool", "-j", "map", "list"]),
  );
  const { id } = maps.filter(({ name, type }) => name === "ports" && type === "devmap").at(-1)!;
  const update = ["bpftool", "map", "update", "id", `${id}`, "key", "3", "0", "0", "0", "value", "1", "0", "0", "0"];
  await network.exec("steer", update);
  const { events } = await told(at, 10);
  const { suppressed: _, ...event } = events[0]!;
  assert.deepEqual(event, { kind: "redirect_err", interface: 0, errno: "EOPNOTSUPP", mapId: id, index: 3 });
});

Deno.test("KernelTrace hears nothing of another interface, nor of the same ifindex in another namespace", async () => {
  await using network = await TestNetwork.create();
  const at = await scene(network, "XDP_ABORTED");
  const heard: TraceEvent[] = [];
  using elsewhere = await KernelTrace.open(watch(at.ifindex), (event) => heard.push(event));
  using otherInterface = await KernelTrace.open(watch(at.ifindex + 1, 1), (event) => heard.push(event), at.netns);
  // The third proves that there was something to be heard, and that an interface is found wherever it stands.
  const right: TraceEvent[] = [];
  using all = await KernelTrace.open(watch(1, at.ifindex), (event) => right.push(event), at.netns);
  await send(at, 20);
  await until("an event", () => {
    all.consume();
    return right.length > 0;
  });
  for (const trace of [elsewhere, otherInterface]) trace.consume();
  assert.deepEqual(heard, []);
  assert.equal(right[0]!.interface, 1);
});

Deno.test("KernelTrace says how much was held back once a flood has ended, not before, and only once", async () => {
  await using network = await TestNetwork.create();
  const at = await scene(network, "XDP_ABORTED");
  const events: TraceEvent[] = [];
  using trace = await KernelTrace.open(watch(at.ifindex), (event) => events.push(event), at.netns);
  await send(at, 200);
  trace.consume();
  const first = events.length;
  assert.deepEqual(trace.rest(), [], "the flood is not known to have ended");
  const rest = await until("the end of the flood", () => {
    const rests = trace.rest();
    return rests.length > 0 && rests;
  });
  const suppressed = events.reduce((sum, event) => sum + event.suppressed, 0);
  assert.equal(rest[0]!.suppressed, 200 - first - suppressed);
  assert.deepEqual(trace.rest(true), []);

  await sleep(1000);
  await send(at, 1);
  trace.consume();
  assert.equal(events.length, first + 1);
  assert.equal(events.at(-1)!.suppressed, 0, "nothing is told twice");
});
