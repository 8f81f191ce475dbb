/**
 * What the kernel itself says about an interface of the steer namespace.
 *
 * @module
 */
import { INTERFACES, type Side, type TestNetwork } from "../../support/netns.ts";

/** `ip link`'s numbers for how a program is attached. */
const MODES: Readonly<Record<number, string>> = { 1: "native", 2: "generic", 3: "hardware", 4: "several" };

export interface Attached {
  /** "none" where nothing is attached. */
  readonly mode: string;
  /** As the kernel keeps it: cut to 15 characters. */
  readonly program: string;
}

interface Link {
  readonly xdp?: { readonly mode: number; readonly prog?: { readonly name?: string } };
  readonly stats64: { readonly rx: { readonly dropped: number } };
}

async function link(network: TestNetwork, side: Side): Promise<Link> {
  const [found] = JSON.parse(await network.exec(side, ["ip", "-j", "-s", "link", "show", "dev", INTERFACES[side]]));
  return found;
}

/** What is attached to the steered interface. */
export async function attachedTo(network: TestNetwork): Promise<Attached> {
  const { xdp } = await link(network, "steer");
  return { mode: xdp === undefined ? "none" : MODES[xdp.mode] ?? "?", program: xdp?.prog?.name ?? "" };
}

/** Packets that reached a namespace's end of the veth and no socket, by the kernel's own counts: backlog and buffers full. */
export async function lossesOf(network: TestNetwork, side: Side): Promise<number> {
  const { stats64 } = await link(network, side);
  const counts = await network.exec(side, ["nstat", "-asz", "UdpInErrors", "Udp6InErrors"]);
  const errors = [...counts.matchAll(/^Udp6?InErrors +(\d+)/gm)].map(([, count]) => Number(count));
  return errors.reduce((sum, count) => sum + count, stats64.rx.dropped);
}
