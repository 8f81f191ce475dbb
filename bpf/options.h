/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whether the kernel stack takes the options of a packet. What it may discard is left to it. Global functions: the
 * verifier follows them once.
 */
#ifndef XDPSTEER_OPTIONS_H
#define XDPSTEER_OPTIONS_H

#include "parse.h"

#define MAX_IPV4_OPTION_BYTES 40

enum ipv4_option {
	IPV4_OPTION_END = 0,
	IPV4_OPTION_NONE = 1,
	IPV4_OPTION_RECORD_ROUTE = 7,
	IPV4_OPTION_TIMESTAMP = 68,
	IPV4_OPTION_LSRR = 131,
	IPV4_OPTION_CIPSO = 134,
	IPV4_OPTION_SSRR = 137,
	IPV4_OPTION_ROUTER_ALERT = 148,
};

enum ipv4_timestamp {
	IPV4_TIMESTAMP_WITH_ADDRESS = 1,
	IPV4_TIMESTAMP_PRESPECIFIED = 3,
};

/* The same number below 32, of which the verifier knows no more: it would follow the loop once for each. */
#define FORGET_NUMBER(number, unknown)                                                                                 \
	asm volatile("%0 += %1; %0 -= %1; %0 &= 31" : "+r"(number) : "r"((__u64)(unknown)))

/*
 * Whether an option that hosts on the way fill in has a pointer that points into it, or behind it where it is full.
 *
 * Its first four bytes, the first one lowest.
 */
__noinline int is_pointer_sound(__u32 option)
{
	__u32 length = option >> 8 & 0xff, pointer = option >> 16 & 0xff, kind = option >> 24 & 15;

	if ((option & 0xff) == IPV4_OPTION_RECORD_ROUTE)
		return length >= 3 && pointer >= 4 && (pointer > length || pointer + 3 <= length);
	if (length < 4 || pointer < 5)
		return false;
	if (pointer > length) /* how many had no room for theirs: one more, and the number would be too large */
		return kind == IPV4_TIMESTAMP_PRESPECIFIED || option >> 28 != 15;
	if (kind == IPV4_TIMESTAMP_WITH_ADDRESS || kind == IPV4_TIMESTAMP_PRESPECIFIED)
		return pointer + 7 <= length;
	return pointer + 3 <= length;
}

/*
 * IPv4 options: no source route, which the kernel discards unless somebody has turned accept_source_route on, no label
 * that it may not know (CIPSO), none twice that it takes once, and nothing that is no option.
 *
 * Offset of the options within the frame, and how long they are.
 */
__noinline int takes_options(struct xdp_md *ctx, __u32 at, __u32 bytes)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 end = at + bytes;
	__u64 filled = 0;

	for (int step = 0; step < MAX_IPV4_OPTION_BYTES; step++) {
		__u8 *option = data + (at & 0x3fff);

		if (at >= end)
			break;
		if ((void *)(option + 4) > data_end) /* cannot be: a UDP header follows */
			return false;
		if (*option == IPV4_OPTION_END)
			break;
		if (*option == IPV4_OPTION_NONE) {
			at += 1;
		} else {
			if (*option == IPV4_OPTION_LSRR || *option == IPV4_OPTION_SSRR || *option == IPV4_OPTION_CIPSO)
				return false;
			if (at + 2 > end || option[1] < 2 || at + option[1] > end)
				return false;
			if (*option == IPV4_OPTION_ROUTER_ALERT && option[1] < 4)
				return false;
			if (*option == IPV4_OPTION_RECORD_ROUTE || *option == IPV4_OPTION_TIMESTAMP) {
				__u64 once = *option == IPV4_OPTION_TIMESTAMP ? 2 : 1;

				if (filled & once || !is_pointer_sound(*(__u32 *)option))
					return false;
				filled |= once;
			}
			at += option[1];
		}
		at &= 0x3fff;
		FORGET_NUMBER(filled, at);
	}
	return true;
}

/* Most options and most bytes of padding in a row that the kernel takes in an extension header. */
#define MAX_IPV6_OPTIONS 8
#define MAX_IPV6_PADDING 7
/* Options with padding between them that are looked at; whoever sends more has no use for them. */
#define MAX_IPV6_OPTION_STEPS 32
/* Of the type of an option: a host that does not know it may not go on. */
#define IPV6_OPTION_MUST_BE_KNOWN 0xc0

enum ipv6_option {
	IPV6_OPTION_PAD1 = 0,
	IPV6_OPTION_PADN = 1,
};

/* Of a header with options: offset of its first option within the frame, and bytes of all of them. */
__noinline int takes_ipv6_options(struct xdp_md *ctx, __u32 at, __u32 bytes)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 options = 0, padding = 0;
	__u32 end = at + bytes;

	for (int step = 0; step < MAX_IPV6_OPTION_STEPS; step++) {
		__u8 *option = data + (at & 0x3fff);
		__u64 first_bytes, length;

		if (at >= end)
			return at == end;
		if ((void *)(option + 8) > data_end) /* cannot be: a UDP header follows */
			return false;
		first_bytes = *(__u64 *)option;
		if (*option > IPV6_OPTION_PADN) {
			if (*option & IPV6_OPTION_MUST_BE_KNOWN || ++options > MAX_IPV6_OPTIONS || at + 2 > end)
				return false;
			padding = 0;
			at += option[1] + 2;
		} else {
			length = *option == IPV6_OPTION_PAD1 ? 1 : option[1] + 2;
			padding += length;
			if (length > MAX_IPV6_PADDING || padding > MAX_IPV6_PADDING)
				return false;
			/* Padding is zeros, behind its two bytes. */
			if (length > 2 && first_bytes >> 16 << (80 - 8 * length) != 0)
				return false;
			at += length;
		}
		at &= 0x3fff;
		FORGET_NUMBER(options, at);
		FORGET_NUMBER(padding, at);
	}
	return false;
}

/*
 * IPv6 extension headers before UDP or an ICMP error, whose lengths parse() has checked: options as above, hop-by-hop
 * ones only at the beginning, no authentication, and no segment routing or mobility, which the kernel discards unless
 * they are set up.
 *
 * Offset of the source address within the frame.
 */
__noinline int takes_extensions(struct xdp_md *ctx, __u32 address_at)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ipv6hdr *ip = data + ((address_at - offsetof(struct ipv6hdr, saddr)) & 0x3fff);
	__u32 next, at = address_at + 2 * sizeof(struct in6_addr);

	if ((void *)(ip + 1) > data_end)
		return false; /* cannot be */
	next = ip->nexthdr;
	for (int i = 0; i < MAX_IPV6_EXTENSIONS; i++) {
		struct ipv6_extension *extension;

		SHOW_BOUND(at, 0x3fff);
		extension = data + at;
		if ((void *)(extension + 1) > data_end)
			return false; /* cannot be */
		if (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS) {
			if (next == IPPROTO_HOPOPTS && i > 0)
				return false;
			if (!takes_ipv6_options(ctx, at + 2, (extension->length + 1) * 8 - 2))
				return false;
			at += (extension->length + 1) * 8;
		} else if (next == IPPROTO_ROUTING) {
			if (extension->routing_type - 2u < 3)
				return false;
			at += (extension->length + 1) * 8;
		} else if (next == IPPROTO_FRAGMENT) {
			at += sizeof(struct ipv6_fragment);
		} else {
			break;
		}
		next = extension->next_header;
	}
	return next == IPPROTO_UDP || next == IPPROTO_ICMPV6;
}

#endif
