// SPDX-License-Identifier: GPL-2.0
/*
 * xdp_port_redirect: reads the UDP destination port of every packet, looks it up in a table of all 65,536 ports, and
 * redirects the packet to the AF_XDP socket of (this queue, the worker that owns the port).
 *
 * Only listed UDP ports leave the kernel's path: whatever is not understood, fragmented, malformed or unlisted is passed
 * to the kernel stack and counted. Every return goes through finish(), so the sum of by_reason is what was seen.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "event_limit.h"
#include "parse.h"
#include "steer.h"

#define READ_ONCE_U32(word) (*(volatile __u32 *)&(word))

/* Set before load; the verifier then knows worker_count as a constant. */
const volatile struct steer_parameters parameters = { .worker_count = 1 };

/* Two halves of 65,536 entries in rows of 8, written by userspace through mmap; steering_control says which half is in force. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, STEER_TABLES * STEER_PORTS / STEER_ROW_PORTS);
	__type(key, __u32);
	__type(value, struct steer_port_row);
} port_to_queue_map SEC(".maps");

/* A variable, whose address is part of the code, where an element of a map would have to be looked up. */
struct steer_control steering_control SEC(".data.control");

/* Index = queue * worker_count + worker. Sized before load to (highest covered queue + 1) * worker_count. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} xsk_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEER_RULE_SLOTS);
	__type(key, __u32);
	__type(value, struct steer_rule_counters);
} rule_counters SEC(".maps");

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
static __noinline int emit(struct xdp_md *ctx, __u32 kind, __u32 reason, __u32 port)
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

static __always_inline int finish(enum steer_reason reason, int verdict)
{
	__u32 zero = 0;
	struct steer_xdp_counters *counters = bpf_map_lookup_elem(&xdp_counters, &zero);

	if (counters) /* always: it is an array with a slot 0 */
		counters->by_reason[reason]++;
	return verdict;
}

/* What becomes of a UDP packet that is all there. */
static __always_inline int steer(struct xdp_md *ctx, void *data, void *data_end, const struct packet *packet)
{
	__u32 port, index, worker, rule, bytes = data_end - data;
	__u32 worker_count = parameters.worker_count;
	struct steer_rule_counters *rule_counter;
	struct steer_port_entry entry;
	struct steer_port_row *row;

	port = bpf_ntohs(packet->udp->dest);
	/* Read once: all of this packet is decided by one half of the table. */
	index = (READ_ONCE_U32(steering_control.active_table) & (STEER_TABLES - 1)) * (STEER_PORTS / STEER_ROW_PORTS) +
		port / STEER_ROW_PORTS;
	row = bpf_map_lookup_elem(&port_to_queue_map, &index);
	if (!row)
		return finish(STEER_REASON_UNLISTED_PORT, XDP_PASS);
	entry = row->ports[port % STEER_ROW_PORTS];
	if (entry.action == STEER_ACTION_NONE)
		return finish(STEER_REASON_UNLISTED_PORT, XDP_PASS);

	rule = entry.rule;
	rule_counter = bpf_map_lookup_elem(&rule_counters, &rule);
	if (!rule_counter)
		return finish(STEER_REASON_UNLISTED_PORT, XDP_PASS);

	if (entry.action == STEER_ACTION_PASS) {
		rule_counter->passed_packets++;
		rule_counter->passed_bytes += bytes;
		return finish(STEER_REASON_RULE_PASS, XDP_PASS);
	}
	if (entry.action == STEER_ACTION_DROP) {
		rule_counter->dropped_packets++;
		rule_counter->dropped_bytes += bytes;
		return finish(STEER_REASON_RULE_DROP, XDP_DROP);
	}

	/*
	 * Where there is nothing to choose, the socket does not depend on what was read of the packet: the CPU need not wait for the
	 * packet, the table and the map one after the other before it knows the socket.
	 */
	if (worker_count == 1)
		worker = 0;
	else if (entry.action == STEER_ACTION_SPREAD)
		worker = ((__u64)flow_hash(packet, data_end) * worker_count) >> 32;
	else
		worker = entry.worker;
	/* With no socket at this index (a queue that appeared after start) the helper answers XDP_PASS: never a black hole. */
	if (bpf_redirect_map(&xsk_map, ctx->rx_queue_index * worker_count + worker, XDP_PASS) != XDP_REDIRECT) {
		emit(ctx, STEER_EVENT_UNCOVERED_QUEUE, STEER_REASON_UNCOVERED_QUEUE, port);
		return finish(STEER_REASON_UNCOVERED_QUEUE, XDP_PASS);
	}
	rule_counter->redirected_packets++;
	rule_counter->redirected_bytes += bytes;
	return finish(STEER_REASON_STEERED, XDP_REDIRECT);
}

/* All packets that are not of the plain kind: a function of its own, so that its variables take no registers from the plain ones. */
static __noinline int steer_others(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct packet packet = {};
	enum steer_reason reason = parse(data, data_end, &packet);

	if (reason == STEER_REASON_STEERED)
		return steer(ctx, data, data_end, &packet);
	if (reason == STEER_REASON_TRUNCATED || reason == STEER_REASON_BAD_LENGTH)
		emit(ctx, STEER_EVENT_MALFORMED, reason, 0);
	/* A bound the verifier can see; parse() never returns more. */
	return finish(reason < STEER_REASON_COUNT ? reason : STEER_REASON_NOT_IP, XDP_PASS);
}

SEC("xdp")
int xdp_port_redirect(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct packet packet = {};

	if (!LIKELY(parse_plain(data, data_end, &packet)))
		return steer_others(ctx);
	return steer(ctx, data, data_end, &packet);
}

char _license[] SEC("license") = "GPL";
