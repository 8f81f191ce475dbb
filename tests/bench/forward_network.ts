/**
 * What forwarding is measured on: client, box, and a backend behind the box's second interface.
 *
 * The backend is a BPF program at the far end, and the interface counts what arrives there: neither a stack nor a
 * process of the backend's takes a share of the two CPUs.
 */
import { BACK, backendAddress, BackendHost, FAR } from "../e2e/support/backends.ts";
import { INTERFACES, MACS, type VethNetwork } from "../../src/traffic/veth_network.ts";
import { BUILD } from "./rig.ts";

/** two-armed: in on one interface, out on another; one-armed: the backend is beside the client. */
export type Topology = "two-armed" | "one-armed";

/** A backend, as a subject has to know it. */
export interface Backend {
  readonly address: string;
  /** The box's interfaces, the one to the client first. */
  readonly interfaces: readonly string[];
  /** Packets that arrived so far. */
  arrived(): Promise<number>;
}

const ONE_ARMED_ADDRESS = "10.11.0.3";

/** Makes a network ready to forward from. @returns where to. What it makes is gone with the stack. */
export async function addBackend(
  network: VethNetwork,
  topology: Topology,
  stack: AsyncDisposableStack,
): Promise<Backend> {
  // Sums are complete, as on a wire: a veth leaves them to a device that does not come.
  await network.exec("client", ["ethtool", "-K", INTERFACES.client, "tx", "off"]);
  return topology === "two-armed" ? await addSecondArm(network, stack) : await addBesideClient(network);
}

async function addSecondArm(network: VethNetwork, stack: AsyncDisposableStack): Promise<Backend> {
  const host = stack.use(await BackendHost.create(network, { queues: 1, backends: 1 }));
  const address = backendAddress("IPv4", 1);
  const file = (name: string): Promise<string> => host.exec(["cat", `/sys/class/net/${FAR}/${name}`]);
  await addNeighbour(network, address, (await file("address")).trim(), BACK);
  for (const argv of attachBackend(FAR)) await host.exec(argv);
  const interfaces = [INTERFACES.steer, BACK];
  await takeLiveFrames(network, interfaces);
  return { address, interfaces, arrived: async () => Number(await file("statistics/rx_packets")) };
}

async function addBesideClient(network: VethNetwork): Promise<Backend> {
  for (const argv of attachBackend(INTERFACES.client)) await network.exec("client", argv);
  await addNeighbour(network, ONE_ARMED_ADDRESS, MACS.client, INTERFACES.steer);
  const interfaces = [INTERFACES.steer];
  await takeLiveFrames(network, interfaces);
  const counter = ["cat", `/sys/class/net/${INTERFACES.client}/statistics/rx_packets`];
  const arrived = async (): Promise<number> => Number(await network.exec("client", counter));
  return { address: ONE_ARMED_ADDRESS, interfaces, arrived };
}

/** Commands that make an interface the backend's. */
function attachBackend(device: string): string[][] {
  const program = ["bpf", "direct-action", "obj", `${Deno.cwd()}/${BUILD}/tc_backend.bpf.o`, "sec", "tc"];
  return [
    ["tc", "qdisc", "add", "dev", device, "clsact"],
    ["tc", "filter", "add", "dev", device, "ingress", ...program],
  ];
}

/** Nobody answers ARP. */
async function addNeighbour(network: VethNetwork, address: string, mac: string, device: string): Promise<void> {
  const neighbour = [address, "lladdr", mac, "dev", device, "nud", "permanent"];
  await network.exec("steer", ["ip", "neigh", "replace", ...neighbour]);
}

/** With GRO a veth takes frames from XDP, and polls as a NIC does, also where no XDP program is attached. */
async function takeLiveFrames(network: VethNetwork, interfaces: readonly string[]): Promise<void> {
  for (const name of interfaces) await network.exec("steer", ["ethtool", "-K", name, "gro", "on"]);
}
