/**
 * Constants and struct offsets of rtnetlink(7) in their C spelling; tests/uapi checks them against the kernel's
 * headers.
 *
 * @module
 */

/** Plain numbers: `#define`s and enum values. */
export const NETLINK = {
  AF_INET: 2,
  AF_INET6: 10,
  AF_NETLINK: 16,
  NETLINK_ROUTE: 0,
  SOL_SOCKET: 1,
  SO_RCVBUF: 8,
  SO_RCVBUFFORCE: 33,
  SOL_NETLINK: 270,
  NETLINK_ADD_MEMBERSHIP: 1,
  MSG_TRUNC: 0x20,
  NLM_F_REQUEST: 1,
  NLM_F_MULTI: 2,
  NLM_F_ACK: 4,
  NLM_F_DUMP_INTR: 0x10,
  NLM_F_DUMP: 0x300,
  NLM_F_CREATE: 0x400,
  NLMSG_ERROR: 2,
  NLMSG_DONE: 3,
  NLA_F_NESTED: 0x8000,
  NLA_F_NET_BYTEORDER: 0x4000,
  RTM_NEWLINK: 16,
  RTM_DELLINK: 17,
  RTM_GETLINK: 18,
  RTM_NEWADDR: 20,
  RTM_DELADDR: 21,
  RTM_GETADDR: 22,
  RTM_NEWROUTE: 24,
  RTM_DELROUTE: 25,
  RTM_GETROUTE: 26,
  RTM_NEWNEIGH: 28,
  RTM_DELNEIGH: 29,
  RTM_GETNEIGH: 30,
  RTM_NEWRULE: 32,
  RTM_DELRULE: 33,
  RTM_DELQDISC: 37,
  RTM_NEWTFILTER: 44,
  RTM_GETTFILTER: 46,
  RTM_NEWNEXTHOP: 104,
  RTM_DELNEXTHOP: 105,
  RTNLGRP_LINK: 1,
  RTNLGRP_NEIGH: 3,
  RTNLGRP_IPV4_IFADDR: 5,
  RTNLGRP_IPV4_ROUTE: 7,
  RTNLGRP_IPV4_RULE: 8,
  RTNLGRP_IPV6_IFADDR: 9,
  RTNLGRP_IPV6_ROUTE: 11,
  RTNLGRP_IPV6_RULE: 19,
  RTNLGRP_NEXTHOP: 32,
  IFF_UP: 1,
  IFF_LOOPBACK: 8,
  IFF_LOWER_UP: 0x10000,
  IFF_DORMANT: 0x20000,
  IFLA_ADDRESS: 1,
  IFLA_IFNAME: 3,
  IFLA_MTU: 4,
  IFLA_LINK: 5,
  IFLA_MASTER: 10,
  IFLA_LINKINFO: 18,
  IFLA_LINK_NETNSID: 37,
  IFLA_PROP_LIST: 52,
  IFLA_ALT_IFNAME: 53,
  IFLA_INFO_KIND: 1,
  IFLA_INFO_DATA: 2,
  IFLA_VLAN_ID: 1,
  IFLA_VLAN_PROTOCOL: 5,
  IFA_ADDRESS: 1,
  IFA_LOCAL: 2,
  IFA_BROADCAST: 4,
  IFA_FLAGS: 8,
  IFA_F_OPTIMISTIC: 4,
  IFA_F_DADFAILED: 8,
  IFA_F_TENTATIVE: 0x40,
  RTA_DST: 1,
  RTA_OIF: 4,
  RTA_GATEWAY: 5,
  RTA_PRIORITY: 6,
  RTA_PREFSRC: 7,
  RTA_METRICS: 8,
  RTA_MULTIPATH: 9,
  RTA_TABLE: 15,
  RTA_VIA: 18,
  RTA_ENCAP_TYPE: 21,
  RTAX_MTU: 2,
  RTN_UNICAST: 1,
  RTN_LOCAL: 2,
  RTN_BROADCAST: 3,
  RTN_MULTICAST: 5,
  RT_TABLE_MAIN: 254,
  RTNH_F_DEAD: 1,
  TC_H_CLSACT: 0xfffffff1,
  TC_H_MIN_INGRESS: 0xfff2,
  TC_H_MIN_EGRESS: 0xfff3,
  TCA_KIND: 1,
  TCA_OPTIONS: 2,
  TCA_BPF_NAME: 7,
  NDA_DST: 1,
  NDA_LLADDR: 2,
  NTF_USE: 1,
  NTF_PROXY: 8,
  NUD_NONE: 0,
  NUD_INCOMPLETE: 1,
  NUD_REACHABLE: 2,
  NUD_STALE: 4,
  NUD_DELAY: 8,
  NUD_PROBE: 0x10,
  NUD_FAILED: 0x20,
  NUD_NOARP: 0x40,
  NUD_PERMANENT: 0x80,
} as const;

/** `struct nlmsghdr` */
export const NLMSGHDR = { size: 16, nlmsg_len: 0, nlmsg_type: 4, nlmsg_flags: 6, nlmsg_seq: 8 } as const;

/** `struct nlattr` */
export const NLATTR = { size: 4, nla_len: 0, nla_type: 2 } as const;

/** `struct ifinfomsg` */
export const IFINFOMSG = { size: 16, ifi_family: 0, ifi_index: 4, ifi_flags: 8 } as const;

/** `struct ifaddrmsg` */
export const IFADDRMSG = { size: 8, ifa_prefixlen: 1, ifa_flags: 2, ifa_index: 4 } as const;

/** `struct ndmsg` */
export const NDMSG = { size: 12, ndm_family: 0, ndm_ifindex: 4, ndm_state: 8, ndm_flags: 10 } as const;

/** `struct tcmsg` */
export const TCMSG = { size: 20, tcm_family: 0, tcm_ifindex: 4, tcm_handle: 8, tcm_parent: 12, tcm_info: 16 } as const;

/** `struct rtmsg` */
export const RTMSG = { size: 12, rtm_family: 0, rtm_dst_len: 1, rtm_table: 4, rtm_type: 7, rtm_flags: 8 } as const;

/** `struct rtvia` */
export const RTVIA = { rtvia_family: 0, rtvia_addr: 2 } as const;

/** `struct sockaddr_nl` */
export const SOCKADDR_NL = { size: 12, nl_family: 0 } as const;
