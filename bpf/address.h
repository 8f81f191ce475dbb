/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whose a packet is: which rule of its port has the destination address, and what a socket of the kernel would not get.
 */
#ifndef XDPSTEER_ADDRESS_H
#define XDPSTEER_ADDRESS_H

#include "parse.h"
#include "steer.h"

#define READ_ONCE_U32(word) (*(volatile __u32 *)&(word))
/* 255.255.255.255 */
#define LIMITED_BROADCAST 0xffffffff
#define MARTIAN_BIT (1ULL << STEER_ADDRESS_SET_MARTIAN)

/*
 * Two halves of each, written by userspace through mmap; the half in force is that of the port table. A port's entry
 * leads to entries for its further rules.
 */
struct steer_port_entry more_entries[STEER_TABLES * STEER_MORE_ENTRIES] SEC(".bss.more");
struct steer_addresses addresses[STEER_TABLES] SEC(".bss.addresses");
/* Which half of these tables is in force. */
struct steer_control steering_control SEC(".data.control");
/* Of the device that this instance of the program is attached to. */
struct steer_device device SEC(".data.device");

/* Addresses for which there is no place in struct steer_addresses. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_ADDRESSES);
	__type(key, struct steer_address_key);
	__type(value, __u64);
} address_masks SEC(".maps");

/* Prefixes; the mask of one also has the bits of those it is in. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_ADDRESSES);
	__type(key, struct steer_ipv4_prefix);
	__type(value, __u64);
} ipv4_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_ADDRESSES);
	__type(key, struct steer_ipv6_prefix);
	__type(value, __u64);
} ipv6_prefixes SEC(".maps");

static __always_inline const struct steer_addresses *addresses_of(__u64 table)
{
	const struct steer_addresses *known;

	SHOW_BOUND(table, STEER_TABLES - 1);
	known = &addresses[table];
	asm volatile("" : "+r"(known)); /* or the compiler computes it anew for each word that is read */
	return known;
}

/* The mask of an address that needs no look-up, else 0. */
static __always_inline __u64 inline_ipv4_mask(const struct steer_addresses *known, __be32 address)
{
	return address == known->ipv4[0] ? known->ipv4_masks[0] :
	       address == known->ipv4[1] ? known->ipv4_masks[1] :
	       address == known->ipv4[2] ? known->ipv4_masks[2] :
	       address == known->ipv4[3] ? known->ipv4_masks[3] :
					   0;
}

/* The same for IPv6. */
static __always_inline __u64 inline_ipv6_mask(const struct steer_addresses *known, const __be32 *address)
{
#pragma unroll
	for (int i = 0; i < STEER_INLINE_ADDRESSES; i++) {
		const __be32 *one = &known->ipv6[4 * i];

		if (one[3] == address[3] && one[2] == address[2] && one[1] == address[1] && one[0] == address[0])
			return known->ipv6_masks[i];
	}
	return 0;
}

/* An address that is not inline. */
__noinline __u64 ipv4_mask_from_maps(__u32 table, __be32 address)
{
	const struct steer_addresses *known = addresses_of(table);
	__u64 mask = 0, *found;

	if (known->flags & STEER_ADDRESS_FLAG_HASHED) {
		struct steer_address_key key = { .table = table, .family = 4, .address = { address } };

		found = bpf_map_lookup_elem(&address_masks, &key);
		if (found)
			mask = *found;
	}
	if (known->flags & STEER_ADDRESS_FLAG_IPV4_PREFIXES) {
		struct steer_ipv4_prefix key = { .length = 32 + 32, .table = bpf_htonl(table), .address = { address } };

		found = bpf_map_lookup_elem(&ipv4_prefixes, &key);
		if (found)
			mask |= *found;
	}
	return mask;
}

/* The mask of an IPv4 address. */
static __always_inline __u64 ipv4_mask(__u32 table, __be32 address)
{
	const struct steer_addresses *known = addresses_of(table);
	__u64 mask = inline_ipv4_mask(known, address);

	return mask || !known->flags ? mask : ipv4_mask_from_maps(table, address);
}

/* The mask of an IPv6 address. */
static __always_inline __u64 ipv6_mask(__u32 table, const __be32 *address)
{
	const struct steer_addresses *known = addresses_of(table);
	__u64 mask = inline_ipv6_mask(known, address), *found;

	if (mask)
		return mask;
	if (known->flags & STEER_ADDRESS_FLAG_HASHED) {
		struct steer_address_key key = { .table = table, .family = 6 };

#pragma unroll
		for (int i = 0; i < 4; i++)
			key.address[i] = address[i];
		found = bpf_map_lookup_elem(&address_masks, &key);
		if (found)
			mask = *found;
	}
	if (known->flags & STEER_ADDRESS_FLAG_IPV6_PREFIXES) {
		struct steer_ipv6_prefix key = { .length = 32 + 128, .table = bpf_htonl(table) };

#pragma unroll
		for (int i = 0; i < 4; i++)
			key.address[i] = address[i];
		found = bpf_map_lookup_elem(&ipv6_prefixes, &key);
		if (found)
			mask |= *found;
	}
	return mask;
}

/* Whether an address with this mask is one that the entry's rule is for. */
static __always_inline bool has_address(const struct steer_port_entry *entry, __u64 mask)
{
	return entry->addresses == STEER_ADDRESS_SET_ANY || mask >> entry->addresses & 1;
}

static __always_inline const struct steer_port_entry *more_entry(__u32 table, __u32 index)
{
	__u64 at = (__u64)table * STEER_MORE_ENTRIES + index;

	SHOW_BOUND(at, STEER_TABLES * STEER_MORE_ENTRIES - 1);
	return &more_entries[at];
}

/* The further entry of a port for an address with this mask: its index, 0 for none. */
__noinline __u32 further_entry(__u32 table, __u32 next, __u64 mask)
{
	for (int i = 0; i < 64 && next; i++) {
		const struct steer_port_entry *entry = more_entry(table, next);

		if (has_address(entry, mask))
			return next;
		next = entry->next;
	}
	return 0;
}

/*
 * False where an IPv4 source may be a martian one: each of these has a bit in the filter.
 * src/bpf/address_table.ts sets it.
 */
static __always_inline bool is_plain_source(const struct steer_addresses *known, __be32 address)
{
	__u32 first = address & 0xff, hash = address * 0x9e3779b1u;
	__u64 at = hash >> 19;

	SHOW_BOUND(at, 8 * (STEER_SOURCE_WORDS - 1)); /* every eighth byte */
	return first - 1 < 223 && first != 127 && !(*(__u64 *)((void *)known->source_filter + at) >> (hash >> 26) & 1);
}

/* A source that the kernel would not take a packet from. */
static __always_inline bool is_martian(__u32 table, __be32 address)
{
	__u32 first = bpf_ntohl(address) >> 24;

	if (address == 0 || first >> 4 == 14 || address == LIMITED_BROADCAST)
		return true;
	if (device.flags & STEER_DEVICE_FLAG_LOOPBACK)
		return false;
	return first == 127 || ipv4_mask(table, address) & MARTIAN_BIT;
}

/* The kernel takes IPv6 packets from own addresses, and from none. */
static __always_inline bool is_ipv6_martian(const __be32 *address)
{
	if (bpf_ntohl(address[0]) >> 24 == 0xff)
		return true;
	return !(address[0] | address[1] | address[2]) && address[3] == bpf_htonl(1) &&
	       !(device.flags & STEER_DEVICE_FLAG_LOOPBACK);
}

/* The destination address of an Ethernet frame, as in struct steer_device: with what follows it shifted out. */
static __always_inline __u64 destination_mac(const void *data)
{
	return *(const __u64 *)data << 16;
}

/* Whether it is one of the box's own but the first. */
__noinline int is_further_mac(__u64 mac)
{
	for (__u32 i = 1; i < STEER_MACS && i < device.mac_count; i++) {
		if (mac == device.macs[i])
			return true;
	}
	return false;
}

/* The box's own for this device; frames for a group are for all. */
static __always_inline bool is_own_mac(__u64 mac)
{
	return mac == device.macs[0] || mac >> 16 & 1 || device.mac_count == 0 || is_further_mac(mac);
}

/*
 * Whether 16-bit words with this sum, or 32-bit ones, have the sum in ones' complement that a checksum makes: whether
 * 65535 divides it. Times the inverse of 65535, only its multiples become small numbers.
 */
static __always_inline bool is_whole_sum(__u64 sum)
{
	return sum * 0xfffefffefffeffffULL <= 0x0001000100010001ULL;
}

/* Of an IPv4 header of any length. */
static __always_inline bool is_header_sound(void *ip, void *data_end)
{
	__u32 words = *(__u8 *)ip & 15;
	__u64 sum = 0;

	for (__u32 i = 0; i < 15; i++, ip += 4) {
		if (i >= words || ip + 4 > data_end)
			break;
		sum += *(__u32 *)ip;
	}
	return is_whole_sum(sum);
}

#endif
