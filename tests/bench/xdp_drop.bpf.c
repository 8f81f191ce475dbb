// SPDX-License-Identifier: GPL-2.0
/* Where echoes end, so that the client's stack is not part of what is measured. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_drop(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
