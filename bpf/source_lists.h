/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which policies deny a source address: one search by address for all lists of all policies.
 *
 * Userspace (src/bpf/source_lines.ts) cuts all addresses into intervals that the policies treat alike. An interval
 * has a class, and a class has a mask with a bit for each policy that denies it; class 0 is denied by none. The first
 * bits of an address lead by an index to its class, or to nodes with the starts of intervals by the bits that follow.
 *
 * Each IP version has an array of lines of its own, as large as its lists are: first the index, then the masks, then
 * the nodes. Lists change without the rules: struct steer_control says for each table of rules which lists are theirs.
 */
#ifndef XDPSTEER_SOURCE_LISTS_H
#define XDPSTEER_SOURCE_LISTS_H

#include "parse.h"
#include "steer.h"

struct steer_source_table source_tables[STEER_SOURCE_TABLES] SEC(".bss.sources");

struct ipv4_lines {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct steer_ipv4_line));
};

struct ipv6_lines {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct steer_ipv6_line));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, STEER_SOURCE_TABLES);
	__type(key, __u32);
	__array(values, struct ipv4_lines);
} ipv4_source_lists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, STEER_SOURCE_TABLES);
	__type(key, __u32);
	__array(values, struct ipv6_lines);
} ipv6_source_lists SEC(".maps");

static __always_inline const struct steer_source_table *source_table_of(__u64 at)
{
	SHOW_BOUND(at, STEER_SOURCE_TABLES - 1);
	return &source_tables[at];
}

/*
 * How many of a node's keys are below this one. All are compared, without a branch: a CPU does several at once, and
 * guesses nothing. The compiler is not to see that a sign is a comparison.
 */
#define KEYS_BELOW(count, keys, key) \
	do { \
		count = 0; \
		_Pragma("unroll") for (int i = 0; i < STEER_NODE_KEYS; i++) \
		{ \
			__u64 difference = (keys)[i] - (key); \
			asm volatile("" : "+r"(difference)); \
			count += difference >> 63; \
		} \
	} while (0)

__noinline __u64 ipv4_denials(__u32 at, __be32 source)
{
	const struct steer_source_table *table = source_table_of(at);
	void *lines = bpf_map_lookup_elem(&ipv4_source_lists, &at);
	__u32 address = bpf_ntohl(source), bucket, line, entry;
	struct steer_ipv4_line *found;
	__u64 in_line;

	if (!lines)
		return 0;
	bucket = address >> (table->ipv4_shift & 31);
	line = bucket / (sizeof(found->index) / sizeof(found->index[0]));
	found = bpf_map_lookup_elem(lines, &line);
	if (!found)
		return 0;
	in_line = bucket;
	SHOW_BOUND(in_line, 15);
	entry = found->index[in_line];
	for (int depth = 0; depth < 8; depth++) {
		__u64 key = address & 0xffff, count;

		if (!(entry & STEER_SOURCE_NODE))
			break;
		line = entry & STEER_SOURCE_LINE;
		found = bpf_map_lookup_elem(lines, &line);
		if (!found)
			return 0;
		KEYS_BELOW(count, found->node.keys, key);
		SHOW_BOUND(count, 15);
		entry = entry & STEER_SOURCE_INNER ? *(__u32 *)found->node.classes + count : found->node.classes[count];
	}
	if (!entry)
		return 0;
	line = table->ipv4_masks + entry / 8;
	found = bpf_map_lookup_elem(lines, &line);
	in_line = entry;
	SHOW_BOUND(in_line, 7);
	return found ? found->masks[in_line] : 0;
}

__noinline __u64 ipv6_denials(__u32 at, __u64 high, __u64 low)
{
	const struct steer_source_table *table = source_table_of(at);
	void *lines = bpf_map_lookup_elem(&ipv6_source_lists, &at);
	__u32 bucket, line, entry;
	struct steer_ipv6_line *found;
	__u64 in_line;

	if (!lines)
		return 0;
	bucket = high >> (table->ipv6_shift & 63);
	line = bucket / (sizeof(found->index) / sizeof(found->index[0]));
	found = bpf_map_lookup_elem(lines, &line);
	if (!found)
		return 0;
	in_line = bucket;
	SHOW_BOUND(in_line, 31);
	entry = found->index[in_line];
	/* The bits that nodes look at are the first 32. */
	high = high << 16 | low >> 48;
	low <<= 16;
	for (int depth = 0; depth < 24; depth++) {
		__u64 bits, key, count;

		if (!(entry & STEER_SOURCE_NODE))
			break;
		/* Without a branch, which the verifier would follow both ways at each depth. */
		bits = entry / STEER_SOURCE_NEXT % 2 * 32;
		high = high << bits | low >> 32 >> (32 - bits);
		low <<= bits;
		key = high >> 32;
		line = entry & STEER_SOURCE_LINE;
		found = bpf_map_lookup_elem(lines, &line);
		if (!found)
			return 0;
		KEYS_BELOW(count, found->node.keys, key);
		SHOW_BOUND(count, 15);
		entry = found->node.entries[count];
	}
	if (!entry)
		return 0;
	line = table->ipv6_masks + entry / 16;
	found = bpf_map_lookup_elem(lines, &line);
	in_line = entry;
	SHOW_BOUND(in_line, 15);
	return found ? found->masks[in_line] : 0;
}

#endif
