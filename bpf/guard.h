/* SPDX-License-Identifier: GPL-2.0 */
/* Who may send to a rule: what is dropped before any socket. */
#ifndef XDPSTEER_GUARD_H
#define XDPSTEER_GUARD_H

#include "address.h"
#include "bans.h"
#include "limit.h"
#include "source_lists.h"

/* Two halves, written by userspace through mmap; the half in force is that of the port table. */
struct steer_rule_guard rule_guards[STEER_TABLES * STEER_RULE_SLOTS] SEC(".bss.guards");

/* What the guards of rules dropped, and what those that only observe would have dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEER_RULE_SLOTS);
	__type(key, __u32);
	__type(value, struct steer_guard_counters);
} guard_counters SEC(".maps");

static __always_inline const struct steer_rule_guard *rule_guard_of(__u32 table, __u32 rule)
{
	__u64 at = (__u64)table * STEER_RULE_SLOTS + rule;

	if (at >= STEER_TABLES * STEER_RULE_SLOTS) /* cannot be */
		at = 0;
	return &rule_guards[at];
}

/* Whether the lists of any of these policies deny the source. Offset of the source address within the frame. */
static __always_inline bool is_denied(struct xdp_md *ctx, __u32 address_at, __u32 address_words, __u32 sources,
				      __u64 policies)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__be32 *source = data + (address_at & 0x3fff);

	if (address_words == 2) {
		if ((void *)(source + 1) > data_end)
			return false; /* cannot be */
		return ipv4_denials(sources, *source) & policies;
	}
	if ((void *)(source + 4) > data_end)
		return false; /* cannot be */
	return ipv6_denials(sources, (__u64)bpf_ntohl(source[0]) << 32 | bpf_ntohl(source[1]),
			    (__u64)bpf_ntohl(source[2]) << 32 | bpf_ntohl(source[3])) & policies;
}

/* Counts a packet that a rule does not take. @returns The reason to drop it; 0 where that is only observed. */
static __noinline __u32 count_guarded(__u32 rule, __u32 reason, __u64 over_total, bool observes)
{
	struct steer_guard_counters *counters = bpf_map_lookup_elem(&guard_counters, &rule);

	if (!counters) /* cannot be */
		return 0;
	counters->over_total += over_total;
	if (observes) {
		counters->observed++;
		return 0;
	}
	if (reason == STEER_REASON_DENIED)
		counters->denied++;
	else if (reason == STEER_REASON_BANNED)
		counters->banned++;
	else
		counters->limited++;
	return reason;
}

/*
 * Whether a rule takes a packet from its source. ICMP errors are not asked about: they come from any router on the way.
 *
 * Offset of the source address within the frame; words of source and destination address together.
 *
 * @returns 0, or the reason to drop the packet, which is counted then.
 */
static __always_inline __u32 guard_of(struct xdp_md *ctx, __u32 address_at, __u32 address_words, __u32 table,
				      __u32 rule)
{
	const struct steer_rule_guard *record = rule_guard_of(table, rule);
	int over;

	if (record->policies &&
	    is_denied(ctx, address_at, address_words, READ_ONCE_U32(steering_control.source_table[table & 1]),
		      record->policies))
		return count_guarded(rule, STEER_REASON_DENIED, 0, false);
	if ((record->flags & STEER_GUARD_FLAG_BANS || record->bans) &&
	    is_banned(ctx, address_at | (address_words == 8 ? IS_IPV6 : 0), table,
		      record->flags & STEER_GUARD_FLAG_BANS, record->bans))
		return count_guarded(rule, STEER_REASON_BANNED, 0, false);
	over = record->limit ? over_limit(ctx, address_at, address_words, table, record->limit) : WITHIN_LIMIT;
	if (over != WITHIN_LIMIT)
		return count_guarded(rule, STEER_REASON_LIMITED, over == OVER_TOTAL,
				     limit_of(table, record->limit)->flags & STEER_RULE_LIMIT_FLAG_OBSERVE);
	return 0;
}

__noinline __u32 guard(struct xdp_md *ctx, __u32 address_at, __u32 address_words, __u32 table, __u32 rule)
{
	return guard_of(ctx, address_at, address_words, table, rule);
}

#endif
