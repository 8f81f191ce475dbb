/* SPDX-License-Identifier: GPL-2.0 */
/* What becomes of a packet: each return counts it, with its rule or by its reason. */
#ifndef XDPSTEER_VERDICT_H
#define XDPSTEER_VERDICT_H

#include "admit.h"
#include "event_limit.h"
#include "parameters.h"
#include "shared_maps.h"

/* Index = queue * worker_count + worker. Sized before load to (highest covered queue + 1) * worker_count. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} xsk_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_xdp_counters);
} xdp_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEER_EVENT_COUNT);
	__type(key, __u32);
	__type(value, struct steer_event_limit);
} event_limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, STEER_EVENTS_BYTES);
} events SEC(".maps");

/* Tells userspace of something rare. A flood becomes one event a second with the number there were by then. */
__noinline int emit(struct xdp_md *ctx, __u32 kind, __u32 reason, __u32 port)
{
	struct steer_event_limit *limit = bpf_map_lookup_elem(&event_limits, &kind);
	struct steer_event *event;
	__u64 now;

	if (!limit || !event_due(limit, &now))
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->time_ns = now;
	event->count = limit->count;
	event->kind = kind;
	event->reason = reason;
	event->ifindex = ctx->ingress_ifindex;
	event->queue = ctx->rx_queue_index;
	event->length = ctx->data_end - ctx->data;
	event->port = port;
	event->cpu = bpf_get_smp_processor_id();
	event->reserved = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/*
 * Counts a packet that no rule decided. The reason says whether it is dropped or left to the kernel stack. Not inlined:
 * packets that are redirected go past it faster.
 */
__noinline int decided(enum steer_reason reason)
{
	__u32 zero = 0;
	struct steer_xdp_counters *counters = bpf_map_lookup_elem(&xdp_counters, &zero);

	if (counters && reason < STEER_REASON_COUNT) /* always: it is an array with a slot 0 */
		counters->by_reason[reason]++;
	return STEER_DROP_REASONS >> reason & 1 ? XDP_DROP : XDP_PASS;
}

/* A port that no rule of the table has: while no worker runs, any. Which have one then, the wanted table says. */
__noinline int unlisted(__u32 table, __u32 port)
{
	return decided(table == STEER_NO_TABLE && entry_of(READ_ONCE_U32(steering_control.wanted_table), port)->action ?
			       STEER_REASON_DEADMAN :
			       STEER_REASON_UNLISTED_PORT);
}

/* Packets that a rule drops, passes or delivers. All rules have counters: userspace lists no slot that is not there. */
static __always_inline int dropped(struct xdp_md *ctx, __u32 rule)
{
	struct steer_rule_counters *counters = bpf_map_lookup_elem(&rule_counters, &rule);

	if (LIKELY(counters != NULL)) {
		counters->dropped_packets++;
		counters->dropped_bytes += ctx->data_end - ctx->data;
	}
	return XDP_DROP;
}

__noinline int passed(struct xdp_md *ctx, __u32 rule)
{
	struct steer_rule_counters *counters = bpf_map_lookup_elem(&rule_counters, &rule);

	if (LIKELY(counters != NULL)) {
		counters->passed_packets++;
		counters->passed_bytes += ctx->data_end - ctx->data;
	}
	return XDP_PASS;
}

__noinline int delivered(struct xdp_md *ctx, __u32 rule)
{
	struct steer_rule_counters *counters = bpf_map_lookup_elem(&rule_counters, &rule);

	if (LIKELY(counters != NULL)) {
		counters->delivered_packets++;
		counters->delivered_bytes += ctx->data_end - ctx->data;
	}
	return XDP_PASS;
}

/* No socket for the packet's queue: one that appeared after start. Never a black hole. */
__noinline int uncovered(struct xdp_md *ctx, __u32 port)
{
	emit(ctx, STEER_EVENT_UNCOVERED_QUEUE, STEER_REASON_UNCOVERED_QUEUE, port);
	return decided(STEER_REASON_UNCOVERED_QUEUE);
}

/* To the socket of a worker, where there is one. */
static __always_inline int redirect(struct xdp_md *ctx, __u32 rule, __u32 socket, __u32 port, __u64 bytes)
{
	struct steer_rule_counters *counters;

	if (LIKELY(bpf_redirect_map(&xsk_map, socket, XDP_PASS) == XDP_REDIRECT)) {
		counters = bpf_map_lookup_elem(&rule_counters, &rule);
		if (LIKELY(counters != NULL)) {
			counters->redirected_packets++;
			counters->redirected_bytes += bytes;
		}
		return XDP_REDIRECT;
	}
	return uncovered(ctx, port);
}

#endif
