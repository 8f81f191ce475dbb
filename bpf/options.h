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

/* Of what ipv4_option() says: the length, and a bit for each kind that the kernel takes once. */
#define IPV4_OPTION_LENGTH 0xff
#define IPV4_OPTION_ONCE_SHIFT 8

/* How long an IPv4 option is; 0 for one that is not taken. Its first four bytes, the first one lowest. */
__noinline __u32 ipv4_option(__u32 option)
{
	__u32 kind = option & 0xff, length = option >> 8 & 0xff, once = 0;

	if (kind == IPV4_OPTION_NONE)
		return 1;
	if (kind == IPV4_OPTION_LSRR || kind == IPV4_OPTION_SSRR || kind == IPV4_OPTION_CIPSO || length < 2 ||
	    (kind == IPV4_OPTION_ROUTER_ALERT && length < 4))
		return 0;
	if (kind == IPV4_OPTION_RECORD_ROUTE || kind == IPV4_OPTION_TIMESTAMP) {
		if (!is_pointer_sound(option))
			return 0;
		once = kind == IPV4_OPTION_TIMESTAMP ? 2 : 1;
	}
	return length | once << IPV4_OPTION_ONCE_SHIFT;
}

/*
 * IPv4 options: no source route, which the kernel discards unless somebody has turned accept_source_route on, no label
 * that it may not know (CIPSO), none twice that it takes once, and nothing that is no option.
 *
 * Offset of the options within the frame, and how long they are. One way through the loop, as in the next one: the
 * verifier follows each way from each step on.
 */
__noinline int takes_options(struct xdp_md *ctx, __u32 at, __u32 bytes)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 filled = 0;

	for (int step = 0; step < MAX_IPV4_OPTION_BYTES && bytes; step++) {
		__u8 *option = data + (at & 0x3fff);
		__u32 found, once, length;

		if ((void *)(option + 4) > data_end) /* cannot be: a UDP header follows */
			return false;
		if (*option == IPV4_OPTION_END)
			break;
		found = ipv4_option(*(__u32 *)option);
		length = found & IPV4_OPTION_LENGTH;
		once = found >> IPV4_OPTION_ONCE_SHIFT;
		if (!length || length > bytes || once & filled)
			return false;
		filled |= once;
		at += length;
		bytes -= length;
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

/* Of what ipv6_option() says: the length, and a bit for what is no padding. */
#define IPV6_OPTION_LENGTH 0xffff
#define IPV6_OPTION_SHIFT 16

/* How long an IPv6 option is, or padding, which is zeros; 0 for one that is not taken. Its first 8 bytes. */
__noinline __u32 ipv6_option(__u64 option)
{
	__u32 kind = option & 0xff, length = (option >> 8 & 0xff) + 2;

	if (kind > IPV6_OPTION_PADN)
		return kind & IPV6_OPTION_MUST_BE_KNOWN ? 0 : length | 1 << IPV6_OPTION_SHIFT;
	if (kind == IPV6_OPTION_PAD1)
		return 1;
	/* Its zeros are behind two bytes. */
	if (length > MAX_IPV6_PADDING || (length > 2 && option >> 16 << (80 - 8 * length) != 0))
		return 0;
	return length;
}

/* Of a header with options: offset of its first option within the frame, and bytes of all of them. */
__noinline int takes_ipv6_options(struct xdp_md *ctx, __u32 at, __u32 bytes)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 options = 0, padding = 0;

	for (int step = 0; step < MAX_IPV6_OPTION_STEPS; step++) {
		__u8 *option = data + (at & 0x3fff);
		__u32 found, length, is_option;

		if (!bytes)
			return true;
		if ((void *)(option + 8) > data_end) /* cannot be: a UDP header follows */
			return false;
		found = ipv6_option(*(__u64 *)option);
		length = found & IPV6_OPTION_LENGTH;
		is_option = found >> IPV6_OPTION_SHIFT;
		options += is_option;
		padding = (padding + length) & (is_option - 1); /* in a row */
		if (!length || length > bytes || options > MAX_IPV6_OPTIONS || padding > MAX_IPV6_PADDING)
			return false;
		at += length;
		bytes -= length;
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
