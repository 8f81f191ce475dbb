/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the programs on the kernel's xdp tracepoints and userspace share. TypeScript learns it from this object's BTF
 * (src/bpf/trace_layout.gen.ts); nothing here is typed a second time by hand.
 */
#ifndef XDPSTEER_TRACE_H
#define XDPSTEER_TRACE_H

#include <linux/types.h>

enum trace_limit {
	TRACE_INTERFACES = 64,
	TRACE_ACTS = 16,  /* of an interface's slots in trace_limits the first; acts above the last share it */
	TRACE_OWN = 256,  /* after the acts one for each errno; from here on the same of redirects by our own xsk_map */
	TRACE_SLOTS = 512, /* errnos above the last share it */
	TRACE_EVENTS_BYTES = 65536,
};

enum trace_kind {
	TRACE_KIND_EXCEPTION = 0,    /* code is the act: what the program returned */
	TRACE_KIND_REDIRECT_ERR = 1, /* code is the errno */
};

struct trace_event {
	__u64 time_ns;   /* CLOCK_MONOTONIC */
	__u64 count;     /* events of this slot on this CPU so far, with this one */
	__u32 kind;      /* enum trace_kind */
	__u32 code;
	__u32 interface; /* its place in trace_parameters.ifindexes */
	__u32 slot;
	__u32 cpu;
	__u32 map_id;    /* of the redirect's map; no map's id where there was none */
	__u32 index;     /* in that map */
	__u32 reserved;
};

/* Written by userspace before load, and whenever an interface has come back with another index. */
struct trace_parameters {
	__u32 netns;      /* inode number of the network namespace: an ifindex means nothing in another */
	__u32 interfaces; /* how many there are in the arrays */
	__u32 ifindexes[TRACE_INTERFACES]; /* 0 while it is gone */
	__u32 map_ids[TRACE_INTERFACES];   /* of its xsk_map, wherever the device is */
	/* Never read: puts the types that no map names into the BTF, where the layout generator finds them. */
	struct {
		enum trace_limit limit;
		enum trace_kind kind;
		struct trace_event event;
	} types_for_btf;
};

#endif
