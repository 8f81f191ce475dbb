/* SPDX-License-Identifier: GPL-2.0 */
/* Sources that are banned, from all rules or from one. Userspace lifts bans that are over. */
#ifndef XDPSTEER_BANS_H
#define XDPSTEER_BANS_H

#include "address.h"

/* Beside the place of an address in a frame, which is below 16 KiB. */
#define IS_IPV6 (1u << 31)

/* By prefix: packets dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_BANS);
	__type(key, struct steer_ipv4_ban);
	__type(value, __u64);
} ipv4_bans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_BANS);
	__type(key, struct steer_ipv6_ban);
	__type(value, __u64);
} ipv6_bans SEC(".maps");

static __always_inline __u64 *ipv4_ban(__u32 scope, __be32 address)
{
	struct steer_ipv4_ban key = { .length = 64, .scope = bpf_htonl(scope), .address = { address } };

	return bpf_map_lookup_elem(&ipv4_bans, &key);
}

static __always_inline __u64 *ipv6_ban(__u32 scope, const __be32 *address)
{
	struct steer_ipv6_ban key = { .length = 160, .scope = bpf_htonl(scope) };

#pragma unroll
	for (int i = 0; i < 4; i++)
		key.address[i] = address[i];
	return bpf_map_lookup_elem(&ipv6_bans, &key);
}

/*
 * Whether the source of a packet is banned. A ban of a network is none of this box's own addresses in it.
 *
 * @param for_all There are bans for all rules. @param scope Number of the rule's own bans, 0 for none.
 */
__noinline int is_banned(struct xdp_md *ctx, __u32 family_and_address_at, __u32 table, __u32 for_all, __u32 scope)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__be32 *from = address_of(data, family_and_address_at);
	__u64 *ban = NULL, own;

	if (!(family_and_address_at & IS_IPV6)) {
		if ((void *)(from + 1) > data_end)
			return false; /* cannot be */
		if (for_all)
			ban = ipv4_ban(0, *from);
		if (!ban && scope)
			ban = ipv4_ban(scope, *from);
		if (!ban)
			return false;
		own = ipv4_mask(table & 1, *from);
	} else {
		if ((void *)(from + 4) > data_end)
			return false; /* cannot be */
		if (for_all)
			ban = ipv6_ban(0, from);
		if (!ban && scope)
			ban = ipv6_ban(scope, from);
		if (!ban)
			return false;
		own = ipv6_mask(table & 1, from);
	}
	if (own >> STEER_ADDRESS_SET_OWN & 1)
		return false;
	__sync_fetch_and_add(ban, 1);
	return true;
}

#endif
