/* SPDX-License-Identifier: GPL-2.0 */
/* From a frame to its UDP header: every length on the way is checked. */
#ifndef XDPSTEER_PARSE_H
#define XDPSTEER_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>
#include <stddef.h>

#include "steer.h"

#define MAX_VLAN_TAGS 2
#define MAX_IPV6_EXTENSIONS 6
#define IPV4_FRAGMENT_BITS 0x3fff /* MF or a non-zero offset */
#define IPV4_OFFSET_BITS 0x1fff
#define IPV6_OFFSET_BITS 0xfff8
#define IPV6_MORE_BIT 1
/* Two words of a plain packet: EtherType IPv4, version 4, a header of five words; then no fragment, and UDP. */
#define PLAIN_TYPE_MASK bpf_htonl(0xffffff00)
#define PLAIN_TYPE bpf_htonl(ETH_P_IP << 16 | 0x4500)
#define PLAIN_PROTOCOL_MASK bpf_htonl(IPV4_FRAGMENT_BITS << 16 | 0xff)
#define PLAIN_PROTOCOL bpf_htonl(IPPROTO_UDP)
#define PLAIN_BYTES (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr))

/* What the compiler is to lay out in one piece. */
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

struct vlan_tag {
	__be16 tci;
	__be16 encapsulated_proto;
};

struct ipv6_extension {
	__u8 next_header;
	__u8 length;
	__u8 routing_type;
	__u8 segments_left;
};

struct ipv6_fragment {
	__u8 next_header;
	__u8 reserved;
	__be16 offset_and_flags;
	__be32 id;
};

/* Where in a packet everything is that steering needs. */
struct packet {
	__u32 port; /* destination */
	struct udphdr *udp;
	__be32 *addresses; /* source, then destination */
	__u32 address_words; /* both together */
	void *icmp; /* where a packet that is no UDP has an ICMP header, else NULL */
	void *end; /* of the IP packet with the ICMP header */
};

static __always_inline __u32 mix(__u32 hash, __u32 value)
{
	hash = (hash ^ value) * 0x9e3779b1u;
	return hash ^ (hash >> 15);
}

/*
 * The same for every packet of a flow. That the addresses are there was seen when they were found; the verifier may
 * have forgotten.
 */
static __always_inline __u32 flow_hash(const struct packet *packet, void *data_end)
{
	__u32 hash = mix(mix(0, packet->addresses[0]), packet->addresses[1]);

	if (packet->address_words > 2 && (void *)(packet->addresses + 8) <= data_end) {
#pragma unroll
		for (int i = 2; i < 8; i++)
			hash = mix(hash, packet->addresses[i]);
	}
	return mix(hash, (__u32)packet->udp->source << 16 | packet->udp->dest);
}

/* The hash of the packets of the other direction. */
static __always_inline __u32 turned_flow_hash(const struct packet *packet, void *data_end)
{
	__u32 hash = 0;

	if (packet->address_words == 2) {
		hash = mix(mix(0, packet->addresses[1]), packet->addresses[0]);
	} else if ((void *)(packet->addresses + 8) <= data_end) {
#pragma unroll
		for (int i = 0; i < 8; i++)
			hash = mix(hash, packet->addresses[i ^ 4]);
	}
	return mix(hash, (__u32)packet->udp->dest << 16 | packet->udp->source);
}

/* A mask that changes nothing, for the verifier, which forgot the bound: in C the compiler would leave it out. */
#define SHOW_BOUND(number, mask) asm volatile("%0 &= %1" : "+r"(number) : "i"(mask))

/* The verifier of 6.1 forgets that a byte swap leaves 16 bits. */
static __always_inline __u64 host16(__be16 field)
{
	__u64 number = bpf_ntohs(field);

	SHOW_BOUND(number, 0xffff);
	return number;
}

/*
 * The same place, of which the verifier knows no more than that it may be within the packet, by whatever way the
 * program came to it. It then checks what follows once, and not for each combination of headers before it, which took
 * most of the time of loading. VLAN tags, IPv6 and all its extensions take less than 16 KiB, so the mask changes
 * nothing.
 */
static __always_inline void *forget(void *data, void *place)
{
	__u64 at = place - data;

	SHOW_BOUND(at, 0x3fff);
	return data + at;
}

/* An address within a frame: one pointer, and no second one that the verifier has not seen checked. */
static __always_inline __be32 *address_of(void *data, __u32 address_at)
{
	__be32 *address = data + (address_at & 0x3fff);

	asm volatile("" : "+r"(address));
	return address;
}

/* Whether a VLAN tag follows. */
static __always_inline bool is_vlan(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* Whether a frame begins with a VLAN tag. */
static __always_inline bool is_tagged(void *data, void *data_end)
{
	struct ethhdr *eth = data;

	return (void *)(eth + 1) <= data_end && is_vlan(eth->h_proto);
}

/*
 * IPv4 without VLAN tags, options, fragments or bytes behind the datagram, as nearly all packets are, all in one go.
 * False leaves it to parse().
 *
 * What begins at a frame's first byte, or behind the bytes of a tag, whose last two are the type of what follows.
 */
static __always_inline bool parse_plain(void *data, void *data_end, struct packet *packet)
{
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);
	__u64 bytes = data_end - data, udp_bytes;
	__u32 port_and_length;

	if ((void *)(udp + 1) > data_end)
		return false;
	/* Not by the address of a halfword: of that the compiler would make two loads. */
	if ((*(__u32 *)(data + offsetof(struct ethhdr, h_proto)) & PLAIN_TYPE_MASK) != PLAIN_TYPE ||
	    (*(__u32 *)((void *)ip + offsetof(struct iphdr, frag_off)) & PLAIN_PROTOCOL_MASK) != PLAIN_PROTOCOL)
		return false;
	port_and_length = bpf_ntohl(*(__u32 *)((void *)udp + offsetof(struct udphdr, dest)));
	udp_bytes = port_and_length & 0xffff;
	/* Less than a header becomes a very large number. */
	if (udp_bytes - sizeof(*udp) > bytes - PLAIN_BYTES || host16(ip->tot_len) != sizeof(*ip) + udp_bytes)
		return false;
	packet->port = port_and_length >> 16;
	packet->udp = udp;
	packet->addresses = &ip->saddr;
	packet->address_words = 2;
	return true;
}

/* IPv6 with nothing between it and UDP, and no VLAN tag, as most IPv6 packets are. */
static __always_inline bool parse_plain_ipv6(void *data, void *data_end, struct packet *packet)
{
	struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);
	__u64 bytes = data_end - data, udp_bytes, ip_bytes;

	if ((void *)(udp + 1) > data_end)
		return false;
	if (((struct ethhdr *)data)->h_proto != bpf_htons(ETH_P_IPV6) || ip->version != 6 ||
	    ip->nexthdr != IPPROTO_UDP)
		return false;
	udp_bytes = host16(udp->len);
	ip_bytes = host16(ip->payload_len);
	if (udp_bytes < sizeof(*udp) || udp_bytes > ip_bytes || ip_bytes > bytes - sizeof(struct ethhdr) - sizeof(*ip))
		return false;
	packet->port = host16(udp->dest);
	packet->udp = udp;
	packet->addresses = ip->saddr.s6_addr32;
	packet->address_words = 8;
	return true;
}

#endif
