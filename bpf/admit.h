/* SPDX-License-Identifier: GPL-2.0 */
/* Which rule a packet to a listed port is for, or why it is for none. */
#ifndef XDPSTEER_ADMIT_H
#define XDPSTEER_ADMIT_H

#include "address.h"
#include "options.h"

/*
 * Two halves of 65,536 entries, written by userspace through mmap, and the table of no rules. A variable, whose address
 * is part of the code, where an element of a map would have to be looked up.
 */
struct steer_port_entry port_to_queue_map[STEER_PORT_TABLES * STEER_PORTS] SEC(".bss.ports");

/* What a table says of a port. */
static __always_inline const struct steer_port_entry *entry_of(__u32 table, __u32 port)
{
	__u64 at = (__u64)table * STEER_PORTS + port;

	/*
	 * It is within the table. Not in C: the compiler may keep a copy from before the comparison on the stack, of
	 * which the verifier of 6.1 does not know that the same holds.
	 */
	asm volatile("if %0 < %1 goto +1\n\t%0 = 0" : "+r"(at) : "i"(STEER_PORT_TABLES * STEER_PORTS));
	return &port_to_queue_map[at];
}

/* The same in one word, and what it says. */
static __always_inline __u64 entry_word_of(__u32 table, __u32 port)
{
	return *(const volatile __u64 *)entry_of(table, port);
}

#define OF_ENTRY(word, field)                                                                                          \
	((word) >> 8 * offsetof(struct steer_port_entry, field) &                                                      \
	 (~0ULL >> (64 - 8 * sizeof(((struct steer_port_entry *)0)->field))))
_Static_assert(sizeof(struct steer_port_entry) == sizeof(__u64), "an entry is one word");

/* What admit() says: why a packet is none of ours, or the index of the entry that is for it, 0 for the port's first. */
#define NOT_ADMITTED(reason) (1u << 31 | (reason))
#define IS_ADMITTED(answer) (!((answer) >> 31))

/* The entry of a port for an address with this mask. @returns As admit(). */
static __always_inline __u32 admit_mask(__u32 table, const struct steer_port_entry *entry, __u64 mask)
{
	__u32 index;

	if (has_address(entry, mask))
		return 0;
	index = entry->next ? further_entry(table, entry->next, mask) : 0;
	return index ? index : NOT_ADMITTED(STEER_REASON_OTHER_ADDRESS);
}

/*
 * Whether a kernel socket on this port would get the packet, and the rule of the port that has its destination address.
 *
 * Offset of the source address within the frame, the destination after it.
 */
__noinline __u32 admit(struct xdp_md *ctx, __u32 address_at, __u32 address_words, __u32 table, __u32 port)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	const struct steer_port_entry *entry = entry_of(table, port);
	__u64 mask;

	if (data + sizeof(struct ethhdr) > data_end)
		return NOT_ADMITTED(STEER_REASON_TRUNCATED); /* cannot be */
	if (entry->addresses == STEER_ADDRESS_SET_ANY)
		return 0;
	if (!is_own_mac(destination_mac(data)))
		return NOT_ADMITTED(STEER_REASON_OTHER_MAC);
	if (address_words == 2) {
		struct iphdr *ip = data + ((address_at - offsetof(struct iphdr, saddr)) & 0x3fff);

		if ((void *)(ip + 1) > data_end)
			return NOT_ADMITTED(STEER_REASON_TRUNCATED); /* cannot be */
		if (!is_header_sound(ip, data_end))
			return NOT_ADMITTED(STEER_REASON_BAD_IP_CHECKSUM);
		if (ip->ihl > 5 && !takes_options(ctx, (void *)(ip + 1) - data, ip->ihl * 4 - sizeof(*ip)))
			return NOT_ADMITTED(STEER_REASON_IP_OPTIONS);
		if (is_martian(table, ip->saddr))
			return NOT_ADMITTED(STEER_REASON_MARTIAN_SOURCE);
		mask = ipv4_mask(table, ip->daddr);
		/* The kernel has all of 127.0.0.0/8, for packets from the box itself only. */
		if (device.flags & STEER_DEVICE_FLAG_LOOPBACK && bpf_ntohl(ip->daddr) >> 24 == 127)
			mask |= 1 << STEER_ADDRESS_SET_OWN;
	} else {
		struct ipv6hdr *ip = data + ((address_at - offsetof(struct ipv6hdr, saddr)) & 0x3fff);
		__be32 *both = ip->saddr.s6_addr32, *to = both + 4;

		if ((void *)(ip + 1) > data_end)
			return NOT_ADMITTED(STEER_REASON_TRUNCATED); /* cannot be */
		if (ip->nexthdr != IPPROTO_UDP && !takes_extensions(ctx, address_at))
			return NOT_ADMITTED(STEER_REASON_IP_OPTIONS);
		if (is_ipv6_martian(both))
			return NOT_ADMITTED(STEER_REASON_MARTIAN_SOURCE);
		mask = ipv6_mask(table, to);
		if (device.flags & STEER_DEVICE_FLAG_LOOPBACK && !(to[0] | to[1] | to[2]) && to[3] == bpf_htonl(1))
			mask |= 1 << STEER_ADDRESS_SET_OWN;
	}
	return admit_mask(table, entry, mask);
}

/* The entry that admit() found. */
static __always_inline const struct steer_port_entry *admitted_entry(__u32 table, __u32 port, __u32 answer)
{
	return answer ? more_entry(table, answer) : entry_of(table, port);
}

static __always_inline __u64 admitted_word(__u32 table, __u32 port, __u32 answer)
{
	return *(const volatile __u64 *)admitted_entry(table, port, answer);
}

/*
 * Whether all that admit() looks at besides the destination is as it usually is, of no fragment. False says nothing.
 * Inline, as the masks below: a call takes longer than all of this.
 */
static __always_inline bool is_usual_ipv4(const struct steer_addresses *known, const void *data, const struct iphdr *ip)
{
	const __u32 *words = (const __u32 *)ip;
	/* The first 8 bytes, of which the last is 0, at once: the sum is not too large. */
	__u64 sum = *(const __u64 *)ip + words[2] + words[3] + words[4];

	asm volatile("" : "+r"(sum)); /* the compiler is to keep nothing of it */
	return destination_mac(data) == device.macs[0] && is_whole_sum(sum) && is_plain_source(known, ip->saddr);
}

/* The same for IPv6 without extension headers. */
static __always_inline bool is_usual_ipv6(const void *data, const struct ipv6hdr *ip)
{
	__u32 first = ip->saddr.s6_addr32[0];

	return destination_mac(data) == device.macs[0] && ip->nexthdr == IPPROTO_UDP && first && (first & 0xff) != 0xff;
}

#endif
