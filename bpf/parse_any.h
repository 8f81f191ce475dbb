/* SPDX-License-Identifier: GPL-2.0 */
/* From any frame to its UDP header, or that of an ICMP message: VLAN tags, IPv4 options, IPv6 extension headers. */
#ifndef XDPSTEER_PARSE_ANY_H
#define XDPSTEER_PARSE_ANY_H

#include "parse.h"

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
