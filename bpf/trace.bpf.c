// SPDX-License-Identifier: GPL-2.0
/*
 * Listens to what the kernel itself says of XDP on our interfaces: xdp:xdp_redirect_err and xdp:xdp_exception.
 *
 * When a worker does not keep up, the first is hit by every packet that is dropped, by the CPU that has too much to do
 * already: what is not reported must cost next to nothing. Since Linux 5.6 redirects by map arrive there too;
 * xdp:xdp_redirect_map_err is only kept for its name.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "event_limit.h"
#include "trace.h"

/* Of the kernel's structs what is read here; libbpf puts in the offsets of the running kernel. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ns_common {
	unsigned int inum;
};
struct net {
	struct ns_common ns;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct net_device {
	int ifindex;
	possible_net_t nd_net;
};
#pragma clang attribute pop

volatile struct trace_parameters parameters SEC(".data.parameters") = { .interfaces = 1 };

/* Index = interface * TRACE_SLOTS + slot. Sized before load. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TRACE_SLOTS);
	__type(key, __u32);
	__type(value, struct steer_event_limit);
} trace_limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TRACE_EVENTS_BYTES);
} trace_events SEC(".maps");

static __always_inline int tell(const struct net_device *dev, enum trace_kind kind, __u32 code, __u32 map_id,
				__u32 index)
{
	__u32 ifindex = dev->ifindex, interface, slot, first = TRACE_ACTS, last = TRACE_OWN - 1;
	/* Read once: at each such step the verifier searches the kernel's types by name, some milliseconds long. */
	__u32 netns = dev->nd_net.net->ns.inum;
	struct steer_event_limit *limit;
	struct trace_event *event;
	__u64 now;

	for (interface = 0; interface < TRACE_INTERFACES; interface++) {
		if (interface >= parameters.interfaces)
			return 0;
		if (kind == TRACE_KIND_REDIRECT_ERR && parameters.map_ids[interface] == map_id) {
			first = TRACE_OWN;
			last = TRACE_SLOTS - 1;
			break;
		}
		if (parameters.ifindexes[interface] == ifindex && netns == parameters.netns)
			break;
	}
	if (interface >= TRACE_INTERFACES)
		return 0;

	if (kind == TRACE_KIND_EXCEPTION)
		slot = code < TRACE_ACTS ? code : TRACE_ACTS - 1;
	else
		slot = code <= last - first ? first + code : last;
	slot += interface * TRACE_SLOTS;
	limit = bpf_map_lookup_elem(&trace_limits, &slot);
	if (!limit || !event_due(limit, &now))
		return 0;
	event = bpf_ringbuf_reserve(&trace_events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->time_ns = now;
	event->count = limit->count;
	event->kind = kind;
	event->code = code;
	event->interface = interface;
	event->slot = slot;
	event->cpu = bpf_get_smp_processor_id();
	event->map_id = map_id;
	event->index = index;
	event->reserved = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Arguments: dev, program, target, err, map_type, map_id, index. */
SEC("tp_btf/xdp_redirect_err")
int redirect_err(__u64 *arguments)
{
	return tell((const struct net_device *)arguments[0], TRACE_KIND_REDIRECT_ERR, -(int)arguments[3], arguments[5],
		    arguments[6]);
}

/* Arguments: dev, program, act. */
SEC("tp_btf/xdp_exception")
int exception(__u64 *arguments)
{
	__u32 act = arguments[2];

	/* Some drivers say so of every redirect that failed; why, the other tracepoint has told by then. */
	if (act == XDP_REDIRECT)
		return 0;
	return tell((const struct net_device *)arguments[0], TRACE_KIND_EXCEPTION, act, 0, 0);
}

char _license[] SEC("license") = "GPL";
