/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Answers to clients whose own address the backends see (source: client). They are for the client's address and port,
 * so no rule has them: they are known by the conversation that they belong to.
 *
 * Each session of a worker has a place in a table that the workers write through mmap (src/steering/kept_clients.ts): a
 * tag, which is a hash of the ends that the backend sees, and the worker. Whatever has no place there is none of ours.
 */
#ifndef XDPSTEER_KEPT_H
#define XDPSTEER_KEPT_H

#include "address.h"
#include "parse.h"
#include "steer.h"

struct steer_kept kept SEC(".bss.kept");

/* As large as the workers' sessions need it: it is there only once a rule keeps its clients' addresses. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
		__uint(max_entries, 1);
		__uint(key_size, sizeof(__u32));
		__uint(value_size, sizeof(struct steer_kept_set));
	});
} kept_sets SEC(".maps");

#define ROTATE32(word, bits) ((word) << (bits) | (word) >> (32 - (bits)))

/* HalfSipHash-1-3, as in src/packet/flow_key.ts: who does not know the key cannot fill a set. */
struct half_sip {
	__u32 v0, v1, v2, v3;
};

static __always_inline void half_sip_round(struct half_sip *state)
{
	state->v0 += state->v1;
	state->v1 = ROTATE32(state->v1, 5) ^ state->v0;
	state->v0 = ROTATE32(state->v0, 16);
	state->v2 += state->v3;
	state->v3 = ROTATE32(state->v3, 8) ^ state->v2;
	state->v0 += state->v3;
	state->v3 = ROTATE32(state->v3, 7) ^ state->v0;
	state->v2 += state->v1;
	state->v1 = ROTATE32(state->v1, 13) ^ state->v2;
	state->v2 = ROTATE32(state->v2, 16);
}

static __always_inline void half_sip_take(struct half_sip *state, __u32 word)
{
	state->v3 ^= word;
	half_sip_round(state);
	state->v0 ^= word;
}

/* Whether a backend whose clients keep their addresses may answer from this port. */
static __always_inline bool is_kept_port(__be16 port)
{
	__u64 at = host16(port);

	return kept.ports[at >> 6] >> (at & 63) & 1;
}

/*
 * The worker that has the session of a backend and a client, plus one; 0 where there is none. A global function: the
 * verifier follows it once.
 *
 * Offsets of both addresses within the frame, their words, and the ports as an answer has them, in one word.
 */
__noinline int worker_of_client(struct xdp_md *ctx, __u32 backend_at, __u32 client_at, __u32 words, __u32 ports)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__be32 *backend = data + (backend_at & 0x3fff), *client = data + (client_at & 0x3fff);
	struct half_sip state = {
		.v0 = kept.key[0],
		.v1 = kept.key[1],
		.v2 = kept.key[0] ^ 0x6c796765,
		.v3 = kept.key[1] ^ 0x74656462,
	};
	const struct steer_kept_set *set;
	__u32 zero = 0, at, tag;
	void *sets;

	half_sip_take(&state, ports);
	if (words == 1) {
		if ((void *)(backend + 1) > data_end || (void *)(client + 1) > data_end)
			return 0;
		half_sip_take(&state, *backend);
		half_sip_take(&state, *client);
		half_sip_take(&state, 12 << 24);
	} else {
		if ((void *)(backend + 4) > data_end || (void *)(client + 4) > data_end)
			return 0;
#pragma unroll
		for (int i = 0; i < 4; i++)
			half_sip_take(&state, backend[i]);
#pragma unroll
		for (int i = 0; i < 4; i++)
			half_sip_take(&state, client[i]);
		half_sip_take(&state, 36 << 24);
	}
	state.v2 ^= 0xff;
	half_sip_round(&state);
	half_sip_round(&state);
	half_sip_round(&state);

	sets = bpf_map_lookup_elem(&kept_sets, &zero);
	if (!sets)
		return 0;
	at = (state.v1 ^ state.v3) & kept.set_mask;
	set = bpf_map_lookup_elem(sets, &at);
	if (!set)
		return 0;
	tag = ((state.v0 ^ state.v2) | STEER_KEPT_TAKEN) & ~(__u32)STEER_KEPT_WORKER;
	for (int i = 0; i < STEER_KEPT_PLACES; i++) {
		__u32 place = set->tags[i];

		if ((place & ~(__u32)STEER_KEPT_WORKER) == tag)
			return (place & STEER_KEPT_WORKER) + 1;
	}
	return 0;
}

#endif
