/**
 * Other ways than the plain one between the box and its backends: a neighbour that keeps silent, a router between, a
 * link on which backends answer clients directly.
 *
 * @module
 */
import { INTERFACES, IPV4, IPV6, type TestNetwork } from "../../support/netns.ts";
import { BACK, backendAddress, type BackendHost, BOTH, FAMILIES, type Family } from "./backends.ts";
import { runHere } from "./command.ts";
import { until } from "./wait.ts";

/** Between two questions of the kernel for a neighbour: short enough that what waits for the answer still does. */
const RETRANSMIT_MS = 50;
/** Questions without an answer before the kernel gives up. */
const SOLICITATIONS = 1000;

/**
 * The backends' host does not answer who has an address, and the box has not asked before, until it is told to speak.
 */
export async function silence(network: TestNetwork, host: BackendHost): Promise<{ speak(): Promise<void> }> {
  await host.exec(["nft", "add table arp quiet; add table ip6 quiet"]);
  const chain = "questions { type filter hook input priority 0; }";
  await host.exec(["nft", `add chain arp quiet ${chain}; add rule arp quiet questions drop`]);
  await host.exec([
    "nft",
    `add chain ip6 quiet ${chain}; add rule ip6 quiet questions icmpv6 type nd-neighbor-solicit drop`,
  ]);
  for (const protocol of ["ipv4", "ipv6"]) {
    const settings = [`mcast_solicit=${SOLICITATIONS}`, `retrans_time_ms=${RETRANSMIT_MS}`];
    const names = settings.map((setting) => `net.${protocol}.neigh.${BACK}.${setting}`);
    await network.exec("steer", ["sysctl", "-q", "-w", ...names]);
  }
  await network.exec("steer", ["ip", "neighbour", "flush", "dev", BACK]);
  return {
    async speak(): Promise<void> {
      await host.exec(["nft", "delete table arp quiet; delete table ip6 quiet"]);
    },
  };
}

/** The link-layer addresses that the box knows on its way to the backends. */
export async function knownNeighbours(network: TestNetwork): Promise<string[]> {
  const entries: { dst: string; lladdr?: string }[] = JSON.parse(
    await network.exec("steer", ["ip", "-j", "neighbour", "show", "dev", BACK]),
  );
  return entries.filter(({ lladdr }) => lladdr !== undefined).map(({ dst }) => dst);
}

const INNER = {
  IPv4: { net: "10.20.0.0/24", router: "10.20.0.1", host: "10.20.0.2", prefix: 24 },
  IPv6: { net: "fd20::/64", router: "fd20::1", host: "fd20::2", prefix: 64 },
} as const;

/**
 * A namespace behind the backends' host, which becomes a router: the box's gateway to it is the address of backend 1.
 */
export class InnerHost implements AsyncDisposable {
  readonly name = `xdpsteer-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}-inner`;

  static async create(network: TestNetwork, router: BackendHost): Promise<InnerHost> {
    const host = new InnerHost();
    try {
      await host.#setUp(network, router);
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
    return host;
  }

  address(family: Family): string {
    return INNER[family].host;
  }

  async #setUp(network: TestNetwork, router: BackendHost): Promise<void> {
    await ip("netns", "add", this.name);
    await router.exec(["ip", "link", "add", "inner0", "type", "veth", "peer", "name", "inner0", "netns", this.name]);
    await router.exec(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
    await router.exec(["ip", "link", "set", "inner0", "up"]);
    await this.exec(["ip", "link", "set", "inner0", "up"]);
    await until("the inner link", async () => (await this.exec(["ip", "link", "show", "inner0"])).includes("state UP"));
    for (const family of BOTH) {
      const { net, router: gateway, host, prefix } = INNER[family];
      const nodad = family === "IPv6" ? ["nodad"] : [];
      await router.exec(["ip", "address", "add", `${gateway}/${prefix}`, "dev", "inner0", ...nodad]);
      await this.exec(["ip", "address", "add", `${host}/${prefix}`, "dev", "inner0", ...nodad]);
      await this.exec(["ip", "route", "add", "default", "via", gateway]);
      await network.exec("steer", ["ip", "route", "add", net, "via", backendAddress(family, 1), "dev", BACK]);
    }
  }

  exec(argv: readonly string[]): Promise<string> {
    return ip("netns", "exec", this.name, ...argv);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await ip("netns", "delete", this.name).catch(() => {});
  }
}

/** Addresses that only backends have, on lo: the service, where they answer clients themselves. */
export const DIRECT_SERVICE: Readonly<Record<Family, string>> = { IPv4: "10.30.0.1", IPv6: "fd30::1" };
/** Both ends of the link past the box. */
export const DIRECT = "direct0";
const DIRECT_LINK = {
  IPv4: { client: "10.31.0.1", back: "10.31.0.2", whole: 32, prefix: 24 },
  IPv6: { client: "fd31::1", back: "fd31::2", whole: 128, prefix: 64 },
} as const;
const CLIENT = { IPv4: IPV4.client, IPv6: IPV6.client } as const;

/**
 * Gives the backends' host the service's address, about which it keeps quiet, and a link to the clients that does not
 * touch the box. Clients reach the service by the box.
 */
export async function addDirectWay(network: TestNetwork, host: BackendHost): Promise<void> {
  const { client } = network.names;
  await host.exec(["ip", "link", "add", DIRECT, "type", "veth", "peer", "name", DIRECT, "netns", client]);
  const strict = ["net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2"];
  await host.exec(["sysctl", "-q", "-w", ...strict]);
  await host.exec(["ip", "link", "set", DIRECT, "up"]);
  await network.exec("client", ["ip", "link", "set", DIRECT, "up"]);
  await until("the direct link", async () => (await host.exec(["ip", "link", "show", DIRECT])).includes("state UP"));
  for (const family of BOTH) {
    const { client, back, whole, prefix } = DIRECT_LINK[family];
    const nodad = family === "IPv6" ? ["nodad"] : [];
    await host.exec(["ip", "address", "add", `${DIRECT_SERVICE[family]}/${whole}`, "dev", "lo", ...nodad]);
    await host.exec(["ip", "address", "add", `${back}/${prefix}`, "dev", DIRECT, ...nodad]);
    await network.exec("client", ["ip", "address", "add", `${client}/${prefix}`, "dev", DIRECT, ...nodad]);
    await host.exec(["ip", "route", "add", `${CLIENT[family]}/${whole}`, "via", client]);
    const by = ["via", FAMILIES[family].service, "dev", INTERFACES.client];
    // The link's own address would be the nearer choice, and would let the answers return by any way.
    await network.exec("client", [
      "ip",
      "route",
      "add",
      `${DIRECT_SERVICE[family]}/${whole}`,
      ...by,
      "src",
      CLIENT[family],
    ]);
  }
}

/** Packets that the clients have had over the direct link. */
export async function directPackets(network: TestNetwork): Promise<number> {
  const [link] = JSON.parse(await network.exec("client", ["ip", "-j", "-s", "link", "show", "dev", DIRECT]));
  return link.stats64.rx.packets;
}

/**
 * xdpsteer takes UDP only, and passes the rest to the kernel. Where one port is for both, as with iperf3, which agrees
 * on a test over TCP, an operator has the kernel translate TCP to the same backend, here backend 1. That sees clients
 * by their own addresses then, and has to send its answers back by the box.
 */
export async function leaveTcpToTheKernel(network: TestNetwork, host: BackendHost, port: number): Promise<void> {
  await network.exec("steer", ["sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
  for (const [family, table] of [["IPv4", "ip tcp_only"], ["IPv6", "ip6 tcp_only"]] as const) {
    const chain = `${table} in { type nat hook prerouting priority -100; }`;
    const translation = `${table} in tcp dport ${port} dnat to ${backendAddress(family, 1)}`;
    await network.exec("steer", ["nft", `add table ${table}; add chain ${chain}; add rule ${translation}`]);
    await host.exec(["ip", "route", "add", "default", "via", FAMILIES[family].net(2)]);
  }
}

function ip(...args: string[]): Promise<string> {
  return runHere("ip", ...args);
}
