// SPDX-License-Identifier: GPL-2.0
/*
 * action: deliver, the way back: what a local program answers leaves with the port that its client has sent to.
 *
 * At tc egress, behind the firewall. A packet is an answer where its client is in the memory of deliveries; what a
 * program sends to anybody else is none, and leaves as it is. So is an ICMP error of the kernel stack that quotes a
 * delivered packet. Nothing is ever dropped here.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "icmp.h"
#include "parse.h"
#include "shared_maps.h"
#include "steer.h"

/* A bit for each port that is or was delivered to; all others cost no look-up. Written by userspace. */
__u64 delivered_to[STEER_PORTS / 64] SEC(".bss.ports");

/* A packet that the box sends. */
struct sent {
	__u32 at;       /* offset of the header behind those of IP */
	__u32 protocol; /* that of this header */
	__u32 address_at;
	bool is_ipv6;
};

/* Copies, since headers need not lie in one piece. False where the packet ends before. */
#define READ(skb, at, value) (bpf_skb_load_bytes(skb, at, value, sizeof(*(value))) == 0)

/* Finds the header behind an IP header. False for a fragment that has none, and for anything else. */
static __always_inline bool find_in_ip(struct __sk_buff *skb, __u32 ip_at, bool is_ipv6, struct sent *sent)
{
	sent->is_ipv6 = is_ipv6;
	if (!is_ipv6) {
		struct iphdr ip;

		if (!READ(skb, ip_at, &ip) || ip.frag_off & bpf_htons(IPV4_OFFSET_BITS))
			return false;
		sent->protocol = ip.protocol;
		sent->address_at = ip_at + offsetof(struct iphdr, saddr);
		sent->at = ip_at + ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (!READ(skb, ip_at, &ip))
			return false;
		sent->protocol = ip.nexthdr;
		sent->address_at = ip_at + offsetof(struct ipv6hdr, saddr);
		sent->at = ip_at + sizeof(ip);
		for (int i = 0; i < MAX_IPV6_EXTENSIONS; i++) {
			struct ipv6_fragment extension; /* as long as the beginning of each */

			if (sent->protocol != IPPROTO_FRAGMENT && sent->protocol != IPPROTO_HOPOPTS &&
			    sent->protocol != IPPROTO_DSTOPTS)
				break;
			if (!READ(skb, sent->at, &extension))
				return false;
			if (sent->protocol == IPPROTO_FRAGMENT) {
				if (extension.offset_and_flags & bpf_htons(IPV6_OFFSET_BITS))
					return false;
				sent->at += sizeof(extension);
			} else {
				sent->at += (extension.reserved + 1) * 8; /* its length there */
			}
			sent->protocol = extension.next_header;
		}
	}
	return true;
}

/* The same from the Ethernet header on, behind VLAN tags. */
static __always_inline bool find(struct __sk_buff *skb, struct sent *sent)
{
	__u32 at = offsetof(struct ethhdr, h_proto);
	__be16 type;

	for (int i = 0; i <= MAX_VLAN_TAGS; i++) {
		if (!READ(skb, at, &type))
			return false;
		at += sizeof(type);
		if (!is_vlan(type))
			break;
		at += sizeof(struct vlan_tag) - sizeof(type);
	}
	if (type != bpf_htons(ETH_P_IP) && type != bpf_htons(ETH_P_IPV6))
		return false;
	return find_in_ip(skb, at, type == bpf_htons(ETH_P_IPV6), sent);
}

static __always_inline bool is_delivered_to(__be16 port)
{
	__u64 number = host16(port);

	return delivered_to[number >> 6] >> (number & 63) & 1;
}

/*
 * What a client has sent to, where the memory has it.
 *
 * local_at, client_at: offsets of the addresses in the packet.
 */
static __always_inline const struct steer_delivery *delivery_of(struct __sk_buff *skb, bool is_ipv6, __u32 local_at,
								__u32 client_at, __be16 local_port,
								__be16 client_port)
{
	struct steer_flow flow = { .family = is_ipv6 ? 6 : 4, .local_port = local_port, .client_port = client_port };
	__u32 zero = 0;
	void *flows;

	if (is_ipv6) {
		if (!READ(skb, local_at, &flow.local) || !READ(skb, client_at, &flow.client))
			return NULL;
	} else if (!READ(skb, local_at, &flow.local[0]) || !READ(skb, client_at, &flow.client[0])) {
		return NULL;
	}
	flows = bpf_map_lookup_elem(&delivered_flows, &zero);
	return flows ? bpf_map_lookup_elem(flows, &flow) : NULL;
}

/* A UDP datagram, or the first fragment of one. */
static __noinline int answer(struct __sk_buff *skb, struct sent *sent)
{
	const struct steer_delivery *delivery;
	struct steer_rule_counters *counters;
	__u32 address_bytes, rule;
	struct udphdr udp;
	__be16 port;

	if (!sent || !READ(skb, sent->at, &udp) || !is_delivered_to(udp.source))
		return 0;
	address_bytes = sent->is_ipv6 ? 16 : 4;
	delivery = delivery_of(skb, sent->is_ipv6, sent->address_at, sent->address_at + address_bytes, udp.source,
			       udp.dest);
	if (!delivery)
		return 0;
	port = delivery->port;
	rule = delivery->rule;
	if (port != udp.source) {
		/* A zero checksum stays. One that a device is to finish has no ports in it yet: the helper knows. */
		bpf_l4_csum_replace(skb, sent->at + offsetof(struct udphdr, check), udp.source, port,
				    sizeof(port) | BPF_F_MARK_MANGLED_0);
		bpf_skb_store_bytes(skb, sent->at + offsetof(struct udphdr, source), &port, sizeof(port), 0);
	}
	counters = bpf_map_lookup_elem(&rule_counters, &rule);
	if (counters) { /* always */
		counters->answered_packets++;
		counters->answered_bytes += skb->len;
	}
	return 0;
}

/*
 * An ICMP error about a delivered packet, as when nobody listens on the port: the client knows only the port that it
 * has sent to.
 */
static __noinline int answer_error(struct __sk_buff *skb, struct sent *sent)
{
	const struct steer_delivery *delivery;
	struct sent quoted = {};
	struct udphdr udp;
	__u32 address_bytes;
	__be16 port;
	__u8 type;

	if (!sent || !READ(skb, sent->at, &type) || !is_error(type, sent->is_ipv6) ||
	    !find_in_ip(skb, sent->at + ICMP_HEADER_BYTES, sent->is_ipv6, &quoted) || quoted.protocol != IPPROTO_UDP ||
	    !READ(skb, quoted.at, &udp) || !is_delivered_to(udp.dest))
		return 0;
	address_bytes = sent->is_ipv6 ? 16 : 4;
	delivery = delivery_of(skb, sent->is_ipv6, quoted.address_at + address_bytes, quoted.address_at, udp.dest,
			       udp.source);
	if (!delivery || delivery->port == udp.dest)
		return 0;
	port = delivery->port;
	bpf_l4_csum_replace(skb, sent->at + ICMP_CHECKSUM_AT, udp.dest, port, sizeof(port));
	bpf_skb_store_bytes(skb, quoted.at + offsetof(struct udphdr, dest), &port, sizeof(port), 0);
	return 0;
}

SEC("tc")
int xdpsteer_answer(struct __sk_buff *skb)
{
	struct sent sent = {};

	if (!find(skb, &sent))
		return TC_ACT_UNSPEC;
	if (sent.protocol == IPPROTO_UDP)
		answer(skb, &sent);
	else if (sent.protocol == (sent.is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		answer_error(skb, &sent);
	return TC_ACT_UNSPEC; /* whatever else is attached goes on */
}

char _license[] SEC("license") = "GPL";
