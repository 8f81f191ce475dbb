/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which sources send most to which rule, while somebody asks: the algorithm Space-Saving, in sets.
 *
 * Each CPU has STEER_SENDER_SETS sets of STEER_SENDER_WAYS places, and a keyed hash of the sender leads to its set. One
 * that has a place there counts on; one that has none takes the place with the fewest packets, and inherits them. So
 * the packets of a set are those of its places, a sender has sent at most what its place says and at least that less
 * what it inherited, and whoever has sent more than an eighth of a set's packets has a place in it. For a sender among
 * many that is about one packet in 4,096. What userspace makes of it is in src/steering/senders.ts.
 */
#ifndef XDPSTEER_SENDERS_H
#define XDPSTEER_SENDERS_H

#include "parameters.h"
#include "parse.h"
#include "sip_hash.h"
#include "steer.h"

/* There only while somebody asks: userspace makes the inner map and puts it in. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
		__uint(max_entries, STEER_SENDER_SETS);
		__uint(key_size, sizeof(__u32));
		__uint(value_size, sizeof(struct steer_sender_set));
	});
} sender_sets SEC(".maps");

/* Offset of the source address within the frame; words of source and destination address together. */
__noinline int count_sender(struct xdp_md *ctx, __u32 address_at, __u32 address_words, __u32 rule)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 *source = data + (address_at & 0x3fff);
	__u32 zero = 0, set_at, family = 4;
	struct steer_sender_set *set;
	struct steer_sender *fewest;
	__u64 prefix, least = 1ULL << 62; /* packets and place, as one number */
	void *sets = bpf_map_lookup_elem(&sender_sets, &zero);

	if (!sets || (void *)(source + 2) > data_end)
		return 0;
	prefix = source[0];
	if (address_words != 2) {
		prefix |= (__u64)source[1] << 32;
		family = 6;
	}
	set_at = sip_hash(parameters.source_key, prefix, rule) & (STEER_SENDER_SETS - 1);
	set = bpf_map_lookup_elem(sets, &set_at);
	if (!set)
		return 0; /* cannot be */
#pragma unroll
	for (int i = 0; i < STEER_SENDER_WAYS; i++) {
		struct steer_sender *sender = &set->senders[i];
		__s64 less;

		if (sender->prefix == prefix && sender->rule == rule && sender->family == family) {
			sender->packets++;
			sender->bytes += data_end - data;
			return 0;
		}
		/* The lesser of two numbers without a branch, which the verifier would follow both ways each time. */
		less = (sender->packets * STEER_SENDER_WAYS + i) - least;
		least += less & less >> 63;
	}
	least &= STEER_SENDER_WAYS - 1;
	fewest = &set->senders[least];
	fewest->prefix = prefix;
	fewest->rule = rule;
	fewest->family = family;
	fewest->inherited = fewest->packets;
	fewest->packets++;
	fewest->bytes = data_end - data;
	return 0;
}

#endif
