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

static __always_inline bool is_extension(__u32 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS || next == IPPROTO_ROUTING ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

/*
 * What walk_extensions() says, in one number: where in the frame the header behind the extension headers is, its
 * protocol, whether they make the packet a first fragment; or why it is not steered.
 */
#define WALKED_AT 0x3fff
#define WALKED_NEXT_SHIFT 14
#define WALKED_FIRST_FRAGMENT (1u << 22)
#define WALKED_REASON_SHIFT 24
#define NOT_WALKED(reason) ((__u32)(reason) << WALKED_REASON_SHIFT)

/*
 * Walks IPv6 extension headers, of which the first is at this offset within the frame. A global function: the verifier
 * follows it once, and not for each combination of headers before it. VLAN tags, IPv6 and all its extensions take less
 * than 16 KiB, so the masks change nothing.
 */
__noinline __u32 walk_extensions(struct xdp_md *ctx, __u32 at, __u32 next)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 first_fragment = 0;

	for (int i = 0; i < MAX_IPV6_EXTENSIONS && is_extension(next); i++) {
		struct ipv6_extension *extension = data + (at & WALKED_AT);

		if ((void *)(extension + 1) > data_end)
			return NOT_WALKED(STEER_REASON_TRUNCATED);
		if (next == IPPROTO_FRAGMENT) {
			struct ipv6_fragment *fragment = (void *)extension;

			if ((void *)(fragment + 1) > data_end)
				return NOT_WALKED(STEER_REASON_TRUNCATED);
			if (fragment->offset_and_flags & bpf_htons(IPV6_OFFSET_BITS))
				return NOT_WALKED(STEER_REASON_FRAGMENT);
			if (fragment->offset_and_flags & bpf_htons(IPV6_MORE_BIT))
				first_fragment = WALKED_FIRST_FRAGMENT;
			at += sizeof(*fragment); /* an atomic fragment is a whole packet */
		} else if (next == IPPROTO_AH) {
			at += (extension->length + 2) * 4;
		} else {
			if (next == IPPROTO_ROUTING && extension->segments_left != 0)
				return NOT_WALKED(STEER_REASON_IPV6_EXTENSIONS);
			at += (extension->length + 1) * 8;
		}
		next = extension->next_header;
	}
	return (at & WALKED_AT) | next << WALKED_NEXT_SHIFT | first_fragment;
}

/*
 * Finds the UDP header and checks every length on the way. STEER_REASON_STEERED means: packet is filled in. So it is
 * for a first fragment with a UDP header, of which the reason is FRAGMENT; of ICMP, the reason NOT_UDP, it has the ICMP
 * header and the addresses.
 */
static __always_inline enum steer_reason parse(struct xdp_md *ctx, void *data, void *data_end, struct packet *packet)
{
	struct ethhdr *eth = data;
	void *cursor = eth + 1;
	void *datagram_end;
	struct udphdr *udp;
	__u64 udp_bytes;
	__be16 proto;
	bool first_fragment = false;

	if (cursor > data_end)
		return STEER_REASON_TRUNCATED;
	proto = eth->h_proto;

#pragma unroll
	for (int i = 0; i < MAX_VLAN_TAGS; i++) {
		struct vlan_tag *tag = cursor;

		if (!is_vlan(proto))
			break;
		if ((void *)(tag + 1) > data_end)
			return STEER_REASON_TRUNCATED;
		proto = tag->encapsulated_proto;
		cursor = tag + 1;
	}

	if (proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = cursor;
		__u64 header_bytes, total_bytes;

		if ((void *)(ip + 1) > data_end)
			return STEER_REASON_TRUNCATED;
		header_bytes = ip->ihl * 4;
		total_bytes = host16(ip->tot_len);
		if (ip->version != 4 || header_bytes < sizeof(*ip) || total_bytes < header_bytes)
			return STEER_REASON_BAD_LENGTH;
		datagram_end = cursor + total_bytes;
		packet->addresses = &ip->saddr;
		packet->address_words = 2;
		if (ip->protocol != IPPROTO_UDP) {
			if (ip->protocol == IPPROTO_ICMP && !(ip->frag_off & bpf_htons(IPV4_FRAGMENT_BITS)) &&
			    datagram_end <= data_end) {
				packet->icmp = cursor + header_bytes;
				packet->end = datagram_end;
			}
			return STEER_REASON_NOT_UDP;
		}
		if (ip->frag_off & bpf_htons(IPV4_OFFSET_BITS))
			return STEER_REASON_FRAGMENT;
		first_fragment = ip->frag_off & bpf_htons(IPV4_FRAGMENT_BITS);
		if (datagram_end > data_end)
			return STEER_REASON_TRUNCATED;
		cursor += header_bytes;
	} else if (proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = cursor;
		__u32 next;

		if ((void *)(ip + 1) > data_end)
			return STEER_REASON_TRUNCATED;
		if (ip->version != 6)
			return STEER_REASON_BAD_LENGTH;
		next = ip->nexthdr;
		datagram_end = (void *)(ip + 1) + host16(ip->payload_len);
		if (datagram_end > data_end)
			return STEER_REASON_TRUNCATED;
		packet->addresses = ip->saddr.s6_addr32;
		packet->address_words = 8;
		cursor = ip + 1;

		if (is_extension(next)) {
			__u32 walked = walk_extensions(ctx, cursor - data, next);

			if (walked >> WALKED_REASON_SHIFT != STEER_REASON_STEERED)
				return walked >> WALKED_REASON_SHIFT;
			cursor = data + (walked & WALKED_AT);
			next = walked >> WALKED_NEXT_SHIFT & 0xff;
			first_fragment = walked & WALKED_FIRST_FRAGMENT;
		}
		if (next == IPPROTO_ICMPV6 && !first_fragment) {
			packet->icmp = cursor;
			packet->end = datagram_end;
			return STEER_REASON_NOT_UDP;
		}
		if (next != IPPROTO_UDP)
			return first_fragment	  ? STEER_REASON_FRAGMENT :
			       is_extension(next) ? STEER_REASON_IPV6_EXTENSIONS :
						    STEER_REASON_NOT_UDP;
	} else {
		return STEER_REASON_NOT_IP;
	}

	udp = cursor;
	if ((void *)(udp + 1) > data_end)
		return first_fragment ? STEER_REASON_FRAGMENT : STEER_REASON_TRUNCATED;
	if ((void *)(udp + 1) > datagram_end)
		return first_fragment ? STEER_REASON_FRAGMENT : STEER_REASON_BAD_LENGTH;
	udp_bytes = host16(udp->len);
	if (!first_fragment && (udp_bytes < sizeof(*udp) || (void *)udp + udp_bytes > datagram_end))
		return STEER_REASON_BAD_LENGTH;

	udp = forget(data, udp);
	packet->addresses = forget(data, packet->addresses);
	if ((void *)(udp + 1) > data_end ||
	    (void *)(packet->addresses + 2) > data_end)
		return STEER_REASON_BAD_LENGTH; /* cannot be: all this was checked above */
	packet->port = host16(udp->dest);
	packet->udp = udp;
	return first_fragment ? STEER_REASON_FRAGMENT : STEER_REASON_STEERED;
}

#endif
