/**
 * The filters of an interface's qdisc clsact, as rtnetlink lists them. bpf_link has none: what a process attached so
 * stays when it is killed.
 *
 * @module
 */
import { ERRNO, syscallError } from "../ffi/errno.ts";
import { NetlinkSocket } from "../ffi/netlink.ts";
import { attributesIn, encodeMessage, type NetlinkMessage, textOf, viewOf } from "../ffi/netlink_message.ts";
import { NETLINK, TCMSG } from "../ffi/netlink_uapi.ts";

const { TCA_BPF_NAME, TCA_KIND, TCA_OPTIONS, TC_H_CLSACT, TC_H_MIN_EGRESS, TC_H_MIN_INGRESS } = NETLINK;
/** The device itself, and the two sides of clsact. */
const CLSACT_MAJOR = TC_H_CLSACT & 0xffff0000;
/** What the kernel says to a request about an interface without clsact, or without such a qdisc at all. */
const NONE: readonly number[] = [ERRNO.EINVAL, ERRNO.ENOENT, ERRNO.EOPNOTSUPP, ERRNO.ENODEV];

export interface TcFilter {
  readonly side: "ingress" | "egress";
  /** `bpf` */
  readonly kind: string;
  /** Of a BPF program: its name, and its id in brackets. "" for others. */
  readonly name: string;
}

/** All filters of an interface; undefined where it has no clsact that tells. */
export function tcFilters(ifindex: number): TcFilter[] | undefined {
  using socket = new NetlinkSocket();
  const filters: TcFilter[] = [];
  for (const side of ["ingress", "egress"] as const) {
    const parent = CLSACT_MAJOR | (side === "ingress" ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
    const flags = NETLINK.NLM_F_REQUEST | NETLINK.NLM_F_DUMP;
    const request = encodeMessage(NETLINK.RTM_GETTFILTER, flags, tcMessage(ifindex, parent));
    const what = `list the filters of interface ${ifindex}`;
    const { errno } = socket.request(request, what, (message) => filters.push(...filterIn(message, side)));
    if (NONE.includes(errno)) return undefined;
    if (errno !== 0) throw syscallError("RTM_GETTFILTER", errno, what);
  }
  return filters;
}

/** Takes an interface's clsact away, with all its filters. */
export function removeClsact(ifindex: number): void {
  using socket = new NetlinkSocket();
  const flags = NETLINK.NLM_F_REQUEST | NETLINK.NLM_F_ACK;
  const what = `remove clsact from interface ${ifindex}`;
  const request = encodeMessage(NETLINK.RTM_DELQDISC, flags, tcMessage(ifindex, TC_H_CLSACT, CLSACT_MAJOR));
  const { errno } = socket.request(request, what);
  if (errno !== 0 && !NONE.includes(errno)) throw syscallError("RTM_DELQDISC", errno, what);
}

function tcMessage(ifindex: number, parent: number, handle = 0): Uint8Array {
  const bytes = new Uint8Array(TCMSG.size);
  const view = viewOf(bytes);
  view.setInt32(TCMSG.tcm_ifindex, ifindex, true);
  view.setUint32(TCMSG.tcm_handle, handle, true);
  view.setUint32(TCMSG.tcm_parent, parent, true);
  return bytes;
}

/** A filter is told of twice: what all of a priority have in common has no handle. */
function filterIn({ type, body }: NetlinkMessage, side: TcFilter["side"]): TcFilter[] {
  if (type !== NETLINK.RTM_NEWTFILTER || body.length < TCMSG.size) return [];
  if (viewOf(body).getUint32(TCMSG.tcm_handle, true) === 0) return [];
  const attributes = attributesIn(body, TCMSG.size);
  const options = attributes.get(TCA_OPTIONS);
  const name = options === undefined ? "" : textOf(attributesIn(options).get(TCA_BPF_NAME));
  return [{ side, kind: textOf(attributes.get(TCA_KIND)), name }];
}
