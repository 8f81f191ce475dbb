// SPDX-License-Identifier: GPL-2.0
/*
 * The deadman: while no worker runs, everything passes to the kernel stack, by the word that every packet reads anyway.
 *
 * A timer of the kernel looks at the workers' heartbeats. It needs nobody who runs: a process that is stopped, or a
 * worker that hangs, changes nothing for it. It ends with its map, which the process holds open.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "steer.h"

#define CLOCK_MONOTONIC 1
#define LOOK_NS 100000000
/* Looks without a heartbeat. Not a time: a machine that stood still itself is not taken for workers that did. */
#define SILENT_LOOKS 5

/* That of the steering program. */
struct steer_control steering_control SEC(".data.control");

struct watch {
	struct bpf_timer timer;
	__u64 looked_ns;
	__u32 beats;
	__u32 silent;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct watch);
} watches SEC(".maps");

/* Changes with each heartbeat of any worker. */
static __always_inline __u32 all_beats(void)
{
	__u32 sum = 0;

	for (int worker = 0; worker < STEER_HEARTBEATS; worker++)
		sum += *(volatile __u32 *)&steering_control.heartbeats[worker].turns;
	return sum;
}

/*
 * Userspace writes wanted_table, and then active_table where it does not say STEER_NO_TABLE. Written and read the other
 * way round here, none of the two misses what the other has done.
 */
static __always_inline void use_wanted(void)
{
	for (int i = 0; i < 4; i++) {
		__u32 wanted = *(volatile __u32 *)&steering_control.wanted_table;

		__sync_lock_test_and_set(&steering_control.active_table, wanted);
		if (*(volatile __u32 *)&steering_control.wanted_table == wanted)
			break;
	}
}

static int look(__attribute__((unused)) void *map, __attribute__((unused)) __u32 *key, struct watch *watch)
{
	struct steer_deadman *deadman = &steering_control.deadman;
	__u64 now = bpf_ktime_get_ns();
	__u32 beats = all_beats();

	if (deadman->on)
		deadman->nanoseconds += now - watch->looked_ns;
	watch->looked_ns = now;
	if (beats != watch->beats) {
		watch->beats = beats;
		watch->silent = 0;
		if (deadman->on) {
			deadman->on = 0;
			use_wanted();
		}
	} else if (++watch->silent >= SILENT_LOOKS && !deadman->on) {
		deadman->on = 1;
		deadman->times++;
		__sync_lock_test_and_set(&steering_control.active_table, STEER_NO_TABLE);
	}
	bpf_timer_start(&watch->timer, LOOK_NS, 0);
	return 0;
}

/* Begins to look. Run once, by userspace. */
SEC("syscall")
int arm(__attribute__((unused)) void *ctx)
{
	__u32 zero = 0;
	struct watch *watch = bpf_map_lookup_elem(&watches, &zero);
	long result;

	if (!watch)
		return -1;
	watch->looked_ns = bpf_ktime_get_ns();
	watch->beats = all_beats();
	result = bpf_timer_init(&watch->timer, &watches, CLOCK_MONOTONIC);
	if (result == 0)
		result = bpf_timer_set_callback(&watch->timer, look);
	if (result == 0)
		result = bpf_timer_start(&watch->timer, LOOK_NS, 0);
	return result;
}

char _license[] SEC("license") = "GPL";
