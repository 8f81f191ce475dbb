/**
 * What the kernel itself says about an interface of the steer namespace.
 *
 * @module
 */
import assert from "node:assert/strict";
import { INTERFACES, type TestNetwork } from "../../support/netns.ts";
import { passedFor } from "./accounts.ts";
import type { Status } from "./appliance.ts";
import { BACK, FAR } from "./backends.ts";
import { overflows, Program } from "./programs.ts";
import { until } from "./wait.ts";

/** `ip link`'s numbers for how a program is attached. */
const MODES: Readonly<Record<number, string>> = { 1: "native", 2: "generic", 3: "hardware", 4: "several" };

export interface Attached {
  /** "none" where nothing is attached. */
  readonly mode: string;
  /** As the kernel keeps it: cut to 15 characters. */
  readonly program: string;
  /** 0 where nothing is attached. */
  readonly id: number;
}

interface Link {
  readonly xdp?: { readonly mode: number; readonly prog?: { readonly id: number; readonly name?: string } };
}

/** What is attached to the steered interface. */
export async function attachedTo(network: TestNetwork): Promise<Attached> {
  const words = ["ip", "-j", "link", "show", "dev", INTERFACES.steer];
  const [{ xdp }]: [Link] = JSON.parse(await network.exec("steer", words));
  return {
    mode: xdp === undefined ? "none" : MODES[xdp.mode] ?? "?",
    program: xdp?.prog?.name ?? "",
    id: xdp?.prog?.id ?? 0,
  };
}

/** Nothing is attached to the steered interface, and of the program that was, nothing is left. */
export async function assertDetached(network: TestNetwork, program: Attached): Promise<void> {
  assert.deepEqual(await attachedTo(network), { mode: "none", program: "", id: 0 });
  const [{ xdp }] = JSON.parse(await network.exec("steer", ["bpftool", "-j", "net", "show", "dev", INTERFACES.steer]));
  assert.deepEqual(xdp, [], "bpftool net");
  // The kernel frees a program after the last run of it.
  await until(`program ${program.id} to be gone`, async () => {
    const programs: { id: number }[] = JSON.parse(await network.exec("steer", ["bpftool", "-j", "prog", "list"]));
    return !programs.some(({ id }) => id === program.id);
  });
}

/**
 * Packets that reached an interface of a namespace and no socket, by the kernel's own counts: backlog and buffers full.
 */
export async function lossesOf(namespace: string, device: string): Promise<number> {
  return (await statisticsOf(namespace, device)).rx.dropped + await overflows(namespace);
}

/** Packets that left an interface of a namespace for the ring of the veth's other end, and found it full. */
export async function unsentBy(namespace: string, device: string): Promise<number> {
  return (await statisticsOf(namespace, device)).tx.dropped;
}

/** Packets that were lost, by place; places that lost nothing are left out. */
export interface Losses {
  readonly sum: number;
  readonly places: Readonly<Record<string, number>>;
}

/** What the kernel lost between clients, box and backends. */
export async function lossesAround(network: TestNetwork, backends: string): Promise<Losses> {
  const { client, steer } = network.names;
  const ways = { [INTERFACES.client]: client, [INTERFACES.steer]: steer, [BACK]: steer, [FAR]: backends };
  const counts: [string, number][] = [];
  for (const [device, namespace] of Object.entries(ways)) {
    const { rx, tx } = await statisticsOf(namespace, device);
    counts.push([`to ${device}`, rx.dropped], [`from ${device}`, tx.dropped]);
  }
  counts.push(["clients' sockets", await overflows(client)], ["backends' sockets", await overflows(backends)]);
  counts.push(["live frames", await refusedFrames(network)]);
  return lossesAt(counts);
}

/** The same, with what was lost since a worker had to wait for its CPU, or a tx ring was full. */
export async function lossesInAll(
  network: TestNetwork,
  backends: string,
  { totals }: Pick<Status, "totals">,
): Promise<Losses> {
  const { places } = await lossesAround(network, backends);
  const { socketDrops, fates } = totals;
  return lossesAt([...Object.entries(places), ["box's sockets", socketDrops], ["tx rings", fates.tx_ring_full ?? 0]]);
}

/**
 * No client lost a packet, but for those that the kernel lost on the way, and those that its stack had while no worker
 * got a CPU: both are counted.
 *
 * @returns How many were lost.
 */
export async function assertNoneLost(
  { network, host }: { readonly network: TestNetwork; readonly host: { readonly name: string } },
  { lost, wrong, late, moved }: Readonly<Record<"lost" | "wrong" | "late" | "moved", number>>,
  status: Status,
): Promise<number> {
  assert.deepEqual({ wrong, late, moved }, { wrong: 0, late: 0, moved: 0 });
  const { places } = await lossesInAll(network, host.name, status);
  const known = lossesAt([...Object.entries(places), ["the kernel stack", passedFor(status, "deadman")]]);
  const { totals, interfaces, backends } = status;
  const verdicts = interfaces.map(({ verdicts }) => verdicts);
  assert.ok(lost <= known.sum, JSON.stringify({ lost, known, totals, verdicts, backends }));
  return lost;
}

function lossesAt(counts: readonly (readonly [place: string, count: number])[]): Losses {
  const places = Object.fromEntries(counts.filter(([, count]) => count > 0));
  return { sum: Object.values(places).reduce((sum, count) => sum + count, 0), places };
}

async function statisticsOf(
  namespace: string,
  device: string,
): Promise<Readonly<Record<"rx" | "tx", { readonly dropped: number }>>> {
  await using program = Program.run(namespace, ["ip", "-j", "-s", "link", "show", "dev", device]);
  const [{ stats64 }] = JSON.parse(await program.result());
  return stats64;
}

/** Live frames that found the ring of the veth's other end full: it is shared with all other traffic. */
export async function refusedFrames(network: TestNetwork): Promise<number> {
  const counts = await network.exec("client", ["ethtool", "-S", INTERFACES.client]);
  const errors = [...counts.matchAll(/tx_queue_\d+_xdp_xmit_errors: (\d+)/g)].map(([, count]) => Number(count));
  return errors.reduce((sum, count) => sum + count, 0);
}
