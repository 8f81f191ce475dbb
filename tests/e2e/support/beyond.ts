/**
 * Networks beyond a router: a namespace of a test becomes a router for one more, over a link of its own MTU.
 *
 * @module
 */
import { runHere } from "./command.ts";
import { until } from "./wait.ts";

/** Addresses of the router's end and of the host's. */
export interface BeyondAddresses {
  readonly router: string;
  readonly host: string;
  readonly prefix: number;
  readonly net: string;
}

export interface BeyondOptions {
  /** The namespace that becomes a router. */
  readonly router: string;
  /** Names the devices: `NAME0` in the router, `NAME1` in the host. */
  readonly name: string;
  /** The second byte of 10.N.0.0/24, and of fdN::/64 in decimal digits. */
  readonly number: number;
  /** Of the router's end: larger packets are too big for it. The host's end has 1500. */
  readonly mtu: number;
}

export class Beyond implements AsyncDisposable {
  private constructor(
    readonly namespace: string,
    readonly addresses: Readonly<Record<"IPv4" | "IPv6", BeyondAddresses>>,
  ) {}

  static async create({ router, name, number, mtu }: BeyondOptions): Promise<Beyond> {
    const [near, far] = [`${name}0`, `${name}1`];
    const beyond = new Beyond(`xdpsteer-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}-${name}`, {
      IPv4: { router: `10.${number}.0.1`, host: `10.${number}.0.2`, prefix: 24, net: `10.${number}.0.0/24` },
      IPv6: { router: `fd${number}::1`, host: `fd${number}::2`, prefix: 64, net: `fd${number}::/64` },
    });
    try {
      await ip("netns", "add", beyond.namespace);
      const peer = ["peer", "name", far, "netns", beyond.namespace];
      await ip("link", "add", near, "netns", router, "mtu", `${mtu}`, "type", "veth", ...peer);
      const settings = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.all.disable_ipv6=0"];
      await inside(router, "sysctl", "-q", "-w", ...settings);
      await inside(beyond.namespace, "sysctl", "-q", "-w", "net.ipv6.conf.default.accept_ra=0");
      await inside(beyond.namespace, "ip", "link", "set", "lo", "up");
      for (const [namespace, device] of [[router, near], [beyond.namespace, far]] as const) {
        await inside(namespace, "ip", "link", "set", device, "up");
      }
      const isUp = async (): Promise<boolean> =>
        (await inside(beyond.namespace, "ip", "link", "show", far)).includes("state UP");
      await until("the link beyond the router", isUp);
      for (const { router: gateway, host, prefix } of Object.values(beyond.addresses)) {
        const nodad = host.includes(":") ? ["nodad"] : [];
        await inside(router, "ip", "address", "add", `${gateway}/${prefix}`, "dev", near, ...nodad);
        await inside(beyond.namespace, "ip", "address", "add", `${host}/${prefix}`, "dev", far, ...nodad);
        await inside(beyond.namespace, "ip", "route", "add", "default", "via", gateway);
      }
      return beyond;
    } catch (error) {
      await beyond[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await ip("netns", "delete", this.namespace).catch(() => {});
  }
}

function inside(namespace: string, ...argv: string[]): Promise<string> {
  return ip("netns", "exec", namespace, ...argv);
}

function ip(...args: string[]): Promise<string> {
  return runHere("ip", ...args);
}
