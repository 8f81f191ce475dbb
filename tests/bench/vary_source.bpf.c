// SPDX-License-Identifier: GPL-2.0
/*
 * Gives each packet another source and hands it to another program: BPF_PROG_TEST_RUN repeats one frame. Where it
 * is asked to, it also looks the source up in a hash map first, to have something to compare that program with.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Written before load. Numbers in the CPU's byte order. */
const volatile struct {
	__u32 first;
	__u32 sources;
	__u32 stride; /* from one to the next: has no factor in common with their number */
	__u32 look_up;
	__u32 spread; /* by which the number of a source is multiplied; unless it is 1, that is within 128.0.0.0/2 */
	__u32 ipv6;   /* the source is the first half of an IPv6 address: 2000::/3, and a /48 for each */
} parameters = {};

static __u32 turn = 0;
static __u64 found = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, 16);
	__type(value, __u64);
} ipv6_sources SEC(".maps");

/* The same of IPv6. */
static __noinline int vary_ipv6(struct xdp_md *ctx)
{
	struct ipv6hdr *ip = (void *)(long)ctx->data + sizeof(struct ethhdr);
	__u32 number = (parameters.first + turn) * parameters.spread;
	__u64 *known;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	ip->saddr.in6_u.u6_addr32[0] = bpf_htonl(0x20000000 | number >> 3);
	ip->saddr.in6_u.u6_addr32[1] = bpf_htonl(number << 29);
	ip->saddr.in6_u.u6_addr32[2] = 0;
	ip->saddr.in6_u.u6_addr32[3] = 0;
	if (parameters.look_up) {
		known = bpf_map_lookup_elem(&ipv6_sources, &ip->saddr);
		if (known)
			found += *known;
	}
	bpf_tail_call(ctx, &next, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int vary_source(struct xdp_md *ctx)
{
	struct iphdr *ip = (void *)(long)ctx->data + sizeof(struct ethhdr);
	__u32 source, sum = 0;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	turn += parameters.stride;
	if (turn >= parameters.sources)
		turn -= parameters.sources;
	if (parameters.ipv6)
		return vary_ipv6(ctx);
	source = (parameters.first + turn) * parameters.spread;
	source = bpf_htonl(parameters.spread == 1 ? source : 0x80000000 | source >> 2); /* no martian one */
	ip->saddr = source;
	ip->check = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += ((__u16 *)ip)[i];
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~((sum & 0xffff) + (sum >> 16));
	if (parameters.look_up) {
		__u64 *known = bpf_map_lookup_elem(&sources, &source);

		if (known)
			found += *known;
	}
	bpf_tail_call(ctx, &next, 0);
	return XDP_ABORTED;
}

char _license[] SEC("license") = "GPL";
