// SPDX-License-Identifier: GPL-2.0
/*
 * A source of UDP over IPv4 that writes all headers of every frame: the kernel recycles the pages, and where the stack
 * forwards them it has translated them in place.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct headers {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

/* Written before load. UDP without a checksum, so the source port may change. Numbers in the CPU's byte order. */
const volatile struct {
	__u32 ifindex;
	__u32 flows;
	__u16 source_port; /* of the first flow */
	struct headers headers;
} __attribute__((packed)) parameters = {};

static __u32 next_flow = 0;

SEC("xdp")
int fresh_source(struct xdp_md *ctx)
{
	struct headers *headers = (void *)(long)ctx->data;
	const void *template = (const void *)&parameters.headers;

	/* Or the compiler copies the zeros it sees above. */
	asm volatile("" : "+r"(template));
	if ((void *)(headers + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(headers, template, sizeof(*headers));
	headers->udp.source = bpf_htons(parameters.source_port + next_flow);
	next_flow = next_flow + 1 < parameters.flows ? next_flow + 1 : 0;
	return bpf_redirect(parameters.ifindex, 0);
}

char _license[] SEC("license") = "GPL";
