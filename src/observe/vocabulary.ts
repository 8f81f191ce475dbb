/**
 * What can become of a packet, wherever its way ends: the XDP program's reasons, the sockets' counters and the workers'
 * fates, in one list with their words. The dashboard, the metrics' documentation and the checks of alerts and Grafana's
 * dashboard read it.
 *
 * @module
 */
import { type Reason, REASON_NAMES, type Verdict, VERDICT_OF_REASON } from "../bpf/reasons.ts";
import { FATE_TABLE, FATES } from "../steering/fate.ts";
import { SOCKET_COUNTER_TABLE, SOCKET_COUNTERS } from "../xsk/socket_counters.ts";
import type { RuleStatus } from "./snapshot.ts";

/** What each reason of bpf/steer.h means: begins small and ends without a full stop. */
export const REASON_WORDS: Readonly<Record<Reason, string>> = {
  steered: "a rule sends it to a worker",
  rule_drop: "a rule says drop",
  rule_pass: "a rule says pass",
  unlisted_port: "no rule has its port",
  not_ip: "not IP: ARP and the like",
  not_udp: "not UDP",
  fragment: "a fragment of an IP packet",
  truncated: "the frame ends before its headers do",
  bad_length: "a length field contradicts the frame",
  ipv6_extensions: "IPv6 extension headers that are not walked",
  uncovered_queue: "the queue has no sockets",
  fragment_dropped: "a first fragment for the port of a rule with fragments: drop",
  other_address: "for the port of a rule, but to an address that none of its rules has",
  other_mac: "for the port of a rule, in a frame to somebody else",
  martian_source: "for the port of a rule, from an address that no packet can come from",
  bad_ip_checksum: "for the port of a rule, with a wrong checksum of the IPv4 header",
  denied: "lists say that its source may not send to the rule",
  banned: "its source is banned",
  limited: "its source, or all sources together, send more than the rule allows",
  delivered: "a rule delivers it to a program of this box, on another port",
  ip_options: "for the port of a rule, with a source route or with IP options that the kernel may not take",
  deadman: "for the port of a rule, while no worker's loop turned",
};

/** How a rule's packets that end in the XDP program are called beside the fates of those that reach a worker. */
export const KERNEL_FATES: readonly string[] = ["dropped", "passed", "delivered"];

export interface Outcome {
  readonly where: "xdp" | "socket" | "worker";
  /** The counter's name: of a reason, a socket counter or a fate. */
  readonly reason: string;
  /** What it is for the packet; `served`: it got what its rule asks for. */
  readonly verdict: Verdict | "served";
  /** True for packets on their way to a worker that were lost. */
  readonly lost: boolean;
  /** False for what counts something else than packets. */
  readonly packets: boolean;
  readonly words: string;
}

/** Everything that can become of a packet. Left out is what sockets count in ordinary operation. */
export const OUTCOMES: readonly Outcome[] = [
  ...REASON_NAMES.map((reason, index): Outcome => ({
    where: "xdp",
    reason,
    verdict: VERDICT_OF_REASON[index]!,
    lost: false,
    packets: true,
    words: REASON_WORDS[reason],
  })),
  ...SOCKET_COUNTERS.filter((name) => SOCKET_COUNTER_TABLE[name].unusual).map((reason): Outcome => {
    const { lost, of, words } = SOCKET_COUNTER_TABLE[reason];
    return { where: "socket", reason, verdict: "drop", lost, packets: of === "socket", words };
  }),
  ...FATES.map((reason): Outcome => {
    const { served, words } = FATE_TABLE[reason];
    return { where: "worker", reason, verdict: served ? "served" : "drop", lost: false, packets: true, words };
  }),
];

/** A row beside those of rules: what sockets have lost, which is counted by queue and worker, not by rule. */
export const AT_SOCKETS = "(at sockets)";
export const OF_ALL_RULES = "of all rules";

/** Packets of a rule that its guard dropped. */
export function guardedPackets(
  { denied, banned, limited }: { readonly denied: number; readonly banned: number; readonly limited: number },
): number {
  return denied + banned + limited;
}

/** Whether answers to a rule's packets pass here. */
export function isAnswered({ action, answers }: Pick<RuleStatus, "action" | "answers">): boolean {
  return action === "deliver" || answers.length > 0;
}

/** Answers to a rule's packets, of local programs or of backends, that were sent on to its clients. */
export function answeredPackets({ answered, answers }: Pick<RuleStatus, "answered" | "answers">): number {
  return answers.reduce((sum, { fates }) => sum + (fates["returned"]?.packets ?? 0), answered.packets);
}
