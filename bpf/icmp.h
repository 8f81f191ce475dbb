/* SPDX-License-Identifier: GPL-2.0 */
/* ICMP errors: what they say of the packet that they are about. */
#ifndef XDPSTEER_ICMP_H
#define XDPSTEER_ICMP_H

#include "parse.h"

#define ICMP_HEADER_BYTES 8
#define ICMP_CHECKSUM_AT 2

/* Types of errors. linux/icmp.h has them too, and includes what a BPF target cannot. */
enum icmp_error {
	ICMP_DESTINATION_UNREACHABLE = 3,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMPV6_DESTINATION_UNREACHABLE = 1, /* packet too big, time exceeded, parameter problem follow */
	ICMPV6_PARAMETER_PROBLEM = 4,
};

static __always_inline bool is_error(__u32 type, bool is_ipv6)
{
	if (is_ipv6)
		return type >= ICMPV6_DESTINATION_UNREACHABLE && type <= ICMPV6_PARAMETER_PROBLEM;
	return type == ICMP_DESTINATION_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

/*
 * Finds the UDP header that an ICMP error quotes: with its first 8 bytes, all of it that an error must quote. The
 * quoted packet has to be one that was sent by whom the error goes to. IPv6 extension headers in it are not walked.
 *
 * icmp: of a packet with the given addresses. packet: filled in with the quoted packet; port is its source port.
 */
static __always_inline bool parse_error(void *icmp, const __be32 *addresses, void *end, void *data_end, bool is_ipv6,
					struct packet *packet)
{
	void *quoted = icmp + ICMP_HEADER_BYTES;
	struct udphdr *udp;

	if (quoted > data_end || !is_error(*(__u8 *)icmp, is_ipv6))
		return false;
	if (is_ipv6) {
		struct ipv6hdr *ip = quoted;

		if ((void *)(ip + 1) > data_end || (void *)(addresses + 8) > data_end || ip->version != 6 ||
		    ip->nexthdr != IPPROTO_UDP)
			return false;
		packet->addresses = ip->saddr.s6_addr32;
		packet->address_words = 8;
#pragma unroll
		for (int i = 0; i < 4; i++) {
			if (packet->addresses[i] != addresses[4 + i])
				return false;
		}
		udp = (void *)(ip + 1);
	} else {
		struct iphdr *ip = quoted;

		if ((void *)(ip + 1) > data_end || (void *)(addresses + 2) > data_end || ip->version != 4 ||
		    ip->ihl < 5 || ip->protocol != IPPROTO_UDP || ip->frag_off & bpf_htons(IPV4_OFFSET_BITS) ||
		    ip->saddr != addresses[1])
			return false;
		packet->addresses = &ip->saddr;
		packet->address_words = 2;
		udp = quoted + ip->ihl * 4;
	}
	if ((void *)(udp + 1) > data_end || (void *)(udp + 1) > end)
		return false;
	packet->udp = udp;
	packet->port = host16(udp->source);
	return true;
}

#endif
