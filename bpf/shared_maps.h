/* SPDX-License-Identifier: GPL-2.0 */
/* Maps that the programs of one object share with those of another: what rules count, and what is delivered. */
#ifndef XDPSTEER_SHARED_MAPS_H
#define XDPSTEER_SHARED_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "steer.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEER_RULE_SLOTS);
	__type(key, __u32);
	__type(value, struct steer_rule_counters);
} rule_counters SEC(".maps");

/*
 * The memory of deliveries. It takes megabytes, so it is there only while a rule delivers: userspace makes it and puts
 * it in. What is given here are its types.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_LRU_HASH);
		__uint(max_entries, 1);
		__uint(key_size, sizeof(struct steer_flow));
		__uint(value_size, sizeof(struct steer_delivery));
	});
} delivered_flows SEC(".maps");

#endif
