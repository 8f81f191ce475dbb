/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How many packets a rule takes, in total and from each source: token buckets.
 *
 * A bucket is one 64-bit word, changed by compare-and-exchange: the time at which it will be full again. How far that
 * is ahead of now is how much has been taken out; a packet adds its cost. A bucket that is full is a time in the past,
 * and forgetting it changes nothing: so the place of a source is free again when its buckets are full, and never
 * before. Times are in 1/256 ns.
 */
#ifndef XDPSTEER_LIMIT_H
#define XDPSTEER_LIMIT_H

#include "parameters.h"
#include "parse.h"
#include "sip_hash.h"
#include "steer.h"

/* No bucket is ever so far ahead, so what seems to be is long past: the clock has gone round meanwhile. */
#define AHEAD_BITS 50
#define MAX_AHEAD (1ULL << AHEAD_BITS)
enum over_limit {
	WITHIN_LIMIT,
	OVER_SOURCE, /* over that of its source */
	OVER_TOTAL,
};

/* Of a set, in one cache line. */
#define LINE_PLACES 4
/* Others that change the same bucket meanwhile, so often: then the packets are too many in any case. */
#define TAKE_TRIES 8
#define CLAIM_TRIES 3

/* Two halves, in force together with those of the port table. */
struct steer_rule_limit limits[STEER_TABLES * STEER_LIMITS] SEC(".bss.limits");
/* By the number of the limit. Not in halves: what has been taken stays taken. */
struct steer_total totals[STEER_LIMITS] SEC(".bss.totals");

struct bucket_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP); /* aligned to cache lines, then */
	__uint(max_entries, 1); /* STEER_SOURCE_SETS */
	/* Sizes, not types: to the kernel 6.1, a map with types is another one than that which userspace makes. */
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct steer_source_set));
};

/* There from the first rule on that limits its sources. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct bucket_table);
} source_buckets SEC(".maps");

/* Sources that are to be banned. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, STEER_EVENTS_BYTES);
} ban_requests SEC(".maps");

static __always_inline bool is_full(__u64 full_at, __u64 now)
{
	return full_at - now - 1 >= MAX_AHEAD;
}

/*
 * What has been taken out of a bucket. Settings may have made it smaller: then it is empty from now on, and not for as
 * long as the larger one would have taken to fill.
 */
static __always_inline __u64 taken(__u64 *bucket, __u64 now, __u64 size, __u64 *before)
{
	__u64 full_at = *(volatile __u64 *)bucket;

	*before = full_at;
	if (is_full(full_at, now))
		return 0;
	if (full_at - now <= size)
		return full_at - now;
	if (__sync_val_compare_and_swap(bucket, full_at, now + size) == full_at)
		*before = now + size;
	return size;
}

static __always_inline bool has_room(__u64 *bucket, __u64 now, __u64 cost, __u64 size)
{
	__u64 before;

	return taken(bucket, now, size, &before) + cost <= size;
}

enum take {
	TOOK,
	HAD_NO_ROOM,
	OTHERS_WERE_QUICKER,
};

static __always_inline enum take try_to_take(__u64 *bucket, __u64 now, __u64 cost, __u64 size)
{
	__u64 before, out = taken(bucket, now, size, &before);

	if (out + cost > size)
		return HAD_NO_ROOM;
	return __sync_val_compare_and_swap(bucket, before, now + out + cost) == before ? TOOK : OTHERS_WERE_QUICKER;
}

/* Whether one of the further tries took it. A global function: the verifier follows the loop once. */
__noinline int take_again(__u64 *bucket, __u64 now, __u64 cost, __u64 size)
{
	if (!bucket)
		return false; /* cannot be */
#pragma nounroll
	for (int i = 1; i < TAKE_TRIES; i++) {
		enum take result = try_to_take(bucket, now, cost, size);

		if (result != OTHERS_WERE_QUICKER)
			return result == TOOK;
	}
	return false;
}

static __always_inline bool take(__u64 *bucket, __u64 now, __u64 cost, __u64 size)
{
	enum take result = try_to_take(bucket, now, cost, size);

	if (LIKELY(result == TOOK))
		return true;
	return result == OTHERS_WERE_QUICKER && take_again(bucket, now, cost, size);
}

static __always_inline const struct steer_rule_limit *limit_of(__u32 table, __u32 number)
{
	__u64 at = (__u64)table * STEER_LIMITS + number;

	SHOW_BOUND(at, STEER_TABLES * STEER_LIMITS - 1);
	return &limits[at];
}

static __always_inline __u64 bytes_cost(__u64 byte, __u64 bytes)
{
	return byte * bytes >> STEER_BYTE_SHIFT;
}

/* The buckets that count a packet. */
struct source {
	__u64 *packets;
	__u64 *bytes;
	__u32 *asked; /* NULL where others use the same buckets */
};

/*
 * What follows looks at all places of a set without a branch: a bit for each. A CPU does several at once and guesses
 * nothing, and the verifier does not follow each combination.
 */
static __always_inline __u32 bits_in(__u32 mask)
{
	mask -= mask >> 1 & 0x55;
	mask = (mask & 0x33) + (mask >> 2 & 0x33);
	return (mask + (mask >> 4)) & 0xf;
}

static __always_inline __u32 lowest_bit(__u32 mask)
{
	return bits_in((mask & -mask) - 1);
}

/* The places of a cache line that have this tag. */
static __always_inline __u32 places_with(const struct steer_source_set *set, __u64 tag, int first)
{
	__u32 mask = 0;

#pragma unroll
	for (int i = first; i < first + LINE_PLACES; i++) {
		__u64 difference = set->places[i].tag ^ tag;

		asm volatile("" : "+r"(difference)); /* or the compiler makes branches of it */
		mask |= (~(difference | -difference) >> 63) << i;
	}
	return mask;
}

/* The place with this tag, beginning with those that are taken first. */
static __always_inline __u32 place_with(const struct steer_source_set *set, __u64 tag)
{
	__u32 mask = places_with(set, tag, 0);

	return LIKELY(mask) ? mask : places_with(set, tag, LINE_PLACES);
}

static __noinline __u32 free_places(const struct steer_source_set *set, __u64 now)
{
	__u32 mask = 0;

#pragma unroll
	for (int i = 0; i < STEER_SET_PLACES; i++) {
		/* Zero where a bucket is not full: as is_full() */
		__u64 packets = (set->places[i].packets - now - 1) >> AHEAD_BITS;
		__u64 bytes = (set->bytes[i] - now - 1) >> AHEAD_BITS;

		asm volatile("" : "+r"(packets), "+r"(bytes));
		mask |= (-packets >> 63 & -bytes >> 63) << i;
	}
	return mask;
}

static __always_inline void use_place(struct steer_source_set *set, __u64 at, struct source *source)
{
	SHOW_BOUND(at, STEER_SET_PLACES - 1);
	source->packets = &set->places[at].packets;
	source->bytes = &set->bytes[at];
	source->asked = &set->asked[at];
}

/*
 * A place for a source that has none, in that of its two sets that has more of them. Where neither has one, it shares
 * the buckets that its set has for all such: what is new is counted less exactly, and who is being counted stays.
 */
static __noinline void claim_place(struct steer_source_set *one, struct steer_source_set *other, __u64 tag, __u64 now,
				   struct source *source)
{
	for (int i = 0; i < CLAIM_TRIES; i++) {
		__u32 mask = free_places(one, now), others = free_places(other, now);
		struct steer_source_set *set = one;
		__u64 at, before, found;

		if (bits_in(others) > bits_in(mask)) {
			set = other;
			mask = others;
		}
		if (!mask)
			break;
		at = lowest_bit(mask);
		SHOW_BOUND(at, STEER_SET_PLACES - 1);
		before = *(volatile __u64 *)&set->places[at].tag;
		found = __sync_val_compare_and_swap(&set->places[at].tag, before, tag);
		if (found == before || found == tag)
			return use_place(set, at, source);
	}
	source->packets = &one->shared_packets;
	source->bytes = &one->shared_bytes;
	source->asked = NULL;
}

/* The buckets of a source. False where there is no table of sources. */
static __always_inline bool find_source(const struct steer_rule_limit *limit, __u64 prefix, bool is_ipv6, __u64 now,
					struct source *source)
{
	__u32 zero = 0, first, second, mask;
	struct steer_source_set *one, *other;
	__u64 whole = (__u64)limit->identity << 33 | prefix << 1, tag; /* of IPv4 */
	__u64 hash = is_ipv6 ? sip_hash(parameters.source_key, prefix, limit->identity) :
			       sip_hash_of_word(parameters.source_key, whole);
	void *table = bpf_map_lookup_elem(&source_buckets, &zero);

	/* An IPv4 source is its tag. Two of IPv6 have the same one by a chance of 1 to 2^63. */
	tag = is_ipv6 ? hash | 1 : whole;
	first = hash >> 32 & (STEER_SOURCE_SETS - 1);
	second = hash >> 8 & (STEER_SOURCE_SETS - 1);
	if (!table)
		return false;
	one = bpf_map_lookup_elem(table, &first);
	if (!one)
		return false; /* cannot be */
	mask = place_with(one, tag);
	if (LIKELY(mask)) {
		use_place(one, lowest_bit(mask), source);
		return true;
	}
	other = bpf_map_lookup_elem(table, &second);
	if (!other)
		return false; /* cannot be */
	mask = place_with(other, tag);
	if (mask)
		use_place(other, lowest_bit(mask), source);
	else
		claim_place(one, other, tag, now, source);
	return true;
}

/* Whether it is time to ask for a ban of a source: once a second. Until it is banned, the limit holds. */
static __always_inline bool is_ban_due(__u32 *asked, __u64 now)
{
	__u32 second = (now >> (STEER_TIME_SHIFT + 30)) + 1;

	if (*(volatile __u32 *)asked == second)
		return false;
	*asked = second;
	return true;
}

/* Asks userspace to ban a source. */
static __noinline void ask_for_ban(struct xdp_md *ctx, __u32 address_at, __u32 address_words, __u32 number)
{
	__be32 *from = address_of((void *)(long)ctx->data, address_at);
	void *data_end = (void *)(long)ctx->data_end;
	struct steer_ban_request *request;

	request = bpf_ringbuf_reserve(&ban_requests, sizeof(*request), 0);
	if (!request)
		return;
	request->limit = number;
	request->family = 4;
	if ((void *)(from + 1) <= data_end)
		request->address[0] = from[0];
	if (address_words == 8 && (void *)(from + 4) <= data_end) {
		request->family = 6;
		for (int i = 1; i < 4; i++)
			request->address[i] = from[i];
	}
	bpf_ringbuf_submit(request, BPF_RB_NO_WAKEUP);
}

/*
 * Whether a packet is over a limit. Otherwise its buckets have it.
 *
 * The total is looked at first: what is over it takes no place of a source. It counts what its sources may send, so
 * that one of them cannot use it up alone.
 *
 * Offset of the source address within the frame. Global, so that the verifier looks at it once, and not at each call.
 */
__noinline int over_limit(struct xdp_md *ctx, __u32 address_at, __u32 address_words, __u32 table, __u32 number)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	const struct steer_rule_limit *limit = limit_of(table, number);
	__u64 bytes = data_end - data, now, byte_cost = 0;
	__be32 *from = address_of(data, address_at);
	struct steer_total *total;
	struct source source = {};
	__u64 number_at = number, prefix;
	bool is_ipv6 = address_words == 8;

	SHOW_BOUND(number_at, STEER_LIMITS - 1);
	total = &totals[number_at];
	if ((void *)(from + 2) > data_end)
		return WITHIN_LIMIT; /* cannot be */
	prefix = is_ipv6 ? ((__u64)from[1] << 32 | from[0]) & limit->ipv6_mask : from[0] & limit->ipv4_mask;
	now = bpf_ktime_get_ns() << STEER_TIME_SHIFT;
	if (limit->total_packet && !has_room(&total->packets, now, limit->total_packet, limit->total_packets))
		return OVER_TOTAL;
	if (limit->total_byte) {
		byte_cost = bytes_cost(limit->total_byte, bytes);
		if (!has_room(&total->bytes, now, byte_cost, limit->total_bytes))
			return OVER_TOTAL;
	}
	if ((limit->source_packet || limit->source_byte) && find_source(limit, prefix, is_ipv6, now, &source)) {
		__u64 cost = bytes_cost(limit->source_byte, bytes);

		if ((limit->source_byte && !has_room(source.bytes, now, cost, limit->source_bytes)) ||
		    (limit->source_packet && !take(source.packets, now, limit->source_packet, limit->source_packets)) ||
		    (limit->source_byte && !take(source.bytes, now, cost, limit->source_bytes))) {
			if (limit->flags & STEER_RULE_LIMIT_FLAG_BAN && source.asked && is_ban_due(source.asked, now))
				ask_for_ban(ctx, address_at, address_words, number);
			return OVER_SOURCE;
		}
	}
	if ((limit->total_packet && !take(&total->packets, now, limit->total_packet, limit->total_packets)) ||
	    (limit->total_byte && !take(&total->bytes, now, byte_cost, limit->total_bytes)))
		return OVER_TOTAL; /* others were quicker */
	return WITHIN_LIMIT;
}

#endif
