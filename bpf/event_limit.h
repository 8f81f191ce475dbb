/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How often the programs speak: once a second for each kind and CPU. Everything is counted, so that userspace can say
 * how much was held back, also after the last event of a flood.
 */
#ifndef XDPSTEER_EVENT_LIMIT_H
#define XDPSTEER_EVENT_LIMIT_H

#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#include "steer.h"

#define EVENT_INTERVAL_NS 1000000000ULL

/*
 * Counts one more. True where it is to be reported, with the time. Otherwise, in a flood, it costs some loads and
 * stores: the clock, which may be slow to read, is looked at once a tick.
 */
static __always_inline bool event_due(struct steer_event_limit *limit, __u64 *now)
{
	__u64 tick = bpf_jiffies64(); /* a plain load, once verified */

	limit->count++;
	if (limit->tick == tick)
		return false;
	limit->tick = tick;
	*now = bpf_ktime_get_ns();
	if (limit->last_ns != 0 && *now - limit->last_ns < EVENT_INTERVAL_NS)
		return false;
	/*
	 * Also where the ring buffer turns out to be full: the count is not lost, and a flood does not try again at
	 * once.
	 */
	limit->last_ns = *now;
	return true;
}

#endif
