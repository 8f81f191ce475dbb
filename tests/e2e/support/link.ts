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
  readonly stats64: { readonly rx: { readonly dropped: number }; readonly tx: { readonly dropped: number } };
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

/** Packets that the kernel dropped on their way into or out of an interface, by its own count. */
export async function droppedAt(network: TestNetwork, side: Side): Promise<number> {
  const { stats64: { rx, tx } } = await link(network, side);
  return rx.dropped + tx.dropped;
}
