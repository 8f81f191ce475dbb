/**
 * Small BPF programs that play a part in a test: other people's programs, and a network that tags frames.
 *
 * @module
 */
import { INTERFACES, IPV6, MACS, type TestNetwork } from "../../support/netns.ts";
import { TempDir } from "./command.ts";

/** Compiles C with clang, as `name` says: `DIRECTORY/NAME.o`. @returns the object's path. */
export async function compileBpf(directory: string, name: string, source: string): Promise<string> {
  const object = `${directory}/${name}.o`;
  await Deno.writeTextFile(`${directory}/${name}.c`, source);
  const include = `-I/usr/include/${Deno.build.arch}-linux-gnu`;
  const { success, stderr } = await new Deno.Command("clang", {
    args: ["-O2", "-g", "-target", "bpf", include, "-c", `${directory}/${name}.c`, "-o", object],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return object;
}

/** An XDP program of somebody else, which passes everything. Section `xdp`. */
export const OTHER_XDP = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int other_program(struct xdp_md *ctx) { return XDP_PASS; }
char _license[] SEC("license") = "GPL";
`;

const DROP_XDP = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int drop_all(struct xdp_md *ctx) { return XDP_DROP; }
char _license[] SEC("license") = "GPL";
`;

/**
 * Has the client's end of the veth drop all that comes, at its driver: for floods that are answered. In the stack they
 * would fill the backlog of a CPU, which all namespaces share, and so disturb other tests.
 */
export async function swallowAnswers(network: TestNetwork): Promise<void> {
  await using directory = await TempDir.create();
  const object = await compileBpf(directory.path, "drop", DROP_XDP);
  await network.exec("client", ["ip", "link", "set", "dev", INTERFACES.client, "xdpdrv", "obj", object, "sec", "xdp"]);
}

const tagging = (types: readonly string[]): string => `
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
SEC("egress") int push(struct __sk_buff *skb) {
  if (skb->protocol == bpf_htons(ETH_P_ARP)) return TC_ACT_OK;
  ${types.map((type, index) => `bpf_skb_vlan_push(skb, bpf_htons(${type}), ${100 + index});`).join("\n  ")}
  return TC_ACT_OK;
}
SEC("ingress") int pop(struct __sk_buff *skb) {
  if (skb->protocol == bpf_htons(ETH_P_ARP)) return TC_ACT_OK;
  ${types.map(() => "if (!skb->vlan_present) return TC_ACT_SHOT;\n  bpf_skb_vlan_pop(skb);").join("\n  ")}
  return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
`;

/**
 * Makes the client's end of the veth the access port of a VLAN: every IP packet leaves it with tags in its frame, and
 * comes in only with as many. A kernel without 802.1Q interfaces can do this too.
 *
 * @param types EtherTypes of the tags in C, innermost first.
 */
export async function tagFrames(network: TestNetwork, directory: string, types: readonly string[]): Promise<void> {
  const object = await compileBpf(directory, "tagging", tagging(types));
  const device = ["dev", INTERFACES.client];
  // Neighbour discovery is IPv6, and the steer namespace has nobody in the VLAN to answer it.
  await network.exec("client", ["ip", "neighbour", "replace", IPV6.steer, "lladdr", MACS.steer, ...device]);
  await network.exec("client", ["ethtool", "-K", INTERFACES.client, "txvlan", "off", "tx-vlan-stag-hw-insert", "off"]);
  await network.exec("client", ["tc", "qdisc", "add", ...device, "clsact"]);
  for (const direction of ["egress", "ingress"]) {
    const program = ["bpf", "da", "obj", object, "sec", direction];
    await network.exec("client", ["tc", "filter", "add", ...device, direction, ...program]);
  }
}
