// SPDX-License-Identifier: GPL-2.0
/*
 * The least an XDP program can do for AF_XDP: every packet to the socket of its queue. What steering is measured
 * against.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} xsk_map SEC(".maps");

SEC("xdp")
int redirect_only(struct xdp_md *ctx)
{
	return bpf_redirect_map(&xsk_map, ctx->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "GPL";
