// SPDX-License-Identifier: GPL-2.0
/*
 * traffic_source: turns a frame that the kernel hands it over and over (BPF_PROG_TEST_RUN with live frames) into UDP
 * traffic of many flows to a few ports, and sends it out of an interface.
 *
 * The kernel recycles the frames' pages and hands them back as the last run left them, so everything that varies is
 * written every time, and every checksum is built from a sum over what does not vary.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define BEHIND_NS 2000000ULL
#define SPIN_ROUNDS (1 << 20) /* far more than fit one burst's time */

enum traffic_limit {
	TRAFFIC_PORTS = 8,
	TRAFFIC_PORTS_PER_ADDRESS = 32768, /* flows beyond these come from the next source address */
};

/* Read-only data, written by userspace before load. The only variable in .rodata. Numbers in the CPU's byte order. */
struct traffic_parameters {
	__u32 ifindex;          /* where the frames go out */
	__u32 flows;            /* source ports, each of which sends to all ports */
	__u32 port_count;
	__u32 ip_offset;        /* of the IP header in the frame: 14, more with VLAN tags */
	__u32 is_ipv6;
	__u32 has_checksum;     /* of UDP */
	__u32 has_sequence;     /* the payload starts with a 64-bit number in network byte order */
	__u32 source_address;   /* of the first flow; for IPv6 the last four bytes */
	__u32 ip_sum;           /* IPv4 header with source address and checksum 0 */
	__u32 udp_sum;          /* pseudo header, UDP header and payload with all that varies 0 */
	__u16 source_port;      /* of the first flow */
	__u16 ports[TRAFFIC_PORTS];
	__u32 burst;            /* frames between two waits; 0 never waits */
	__u64 burst_ns;         /* time one burst takes */
	/* Never read: puts the types that no map names into the BTF, where the layout generator finds them. */
	struct {
		enum traffic_limit limit;
	} types_for_btf;
};

struct traffic_sent {
	__u64 frames[TRAFFIC_PORTS]; /* indexed as parameters.ports */
	__u64 refused;               /* the frame was too short, or the redirect was not accepted */
};

const volatile struct traffic_parameters parameters = {};

/* Shared by all CPUs: a number is given out once only. */
__u64 next_sequence = 0;

/* When the next burst may start, CLOCK_MONOTONIC. Only one thread may run a program that keeps to a rate. */
__u64 due_ns = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traffic_sent);
} sent_frames SEC(".maps");

static __always_inline __u32 halves(__u64 word)
{
	return (__u32)(word & 0xffff) + (__u32)(word >> 16 & 0xffff) + (__u32)(word >> 32 & 0xffff) +
	       (__u32)(word >> 48);
}

static __always_inline __be16 checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return bpf_htons(~sum);
}

static long is_due(__u32 round __attribute__((unused)), void *context __attribute__((unused)))
{
	return bpf_ktime_get_ns() >= due_ns;
}

/*
 * Keeps to the rate by spinning: between two runs of the program there is nowhere to sleep. A source that fell behind
 * by little catches up; one that was stopped starts anew.
 */
static __always_inline void wait_for_burst(void)
{
	__u64 now = bpf_ktime_get_ns();

	if (due_ns + BEHIND_NS < now)
		due_ns = now;
	else
		bpf_loop(SPIN_ROUNDS, is_due, 0, 0);
	due_ns += parameters.burst_ns;
}

SEC("xdp")
int traffic_source(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 sequence = __sync_fetch_and_add(&next_sequence, 1);
	__u32 port_index = sequence % parameters.port_count;
	__u32 flow = sequence / parameters.port_count % parameters.flows;
	__u32 address = parameters.source_address + flow / TRAFFIC_PORTS_PER_ADDRESS;
	__u16 source_port = parameters.source_port + flow % TRAFFIC_PORTS_PER_ADDRESS;
	__u16 port = parameters.ports[port_index & (TRAFFIC_PORTS - 1)];
	__u32 udp_sum = parameters.udp_sum + halves(address) + source_port + port;
	__u32 zero = 0;
	struct traffic_sent *sent = bpf_map_lookup_elem(&sent_frames, &zero);
	struct udphdr *udp;
	__be64 *stamp;

	if (!sent)
		return XDP_ABORTED; /* cannot be: an array with a slot 0 */
	if (parameters.burst != 0 && sequence % parameters.burst == 0)
		wait_for_burst();
	if (parameters.is_ipv6) {
		struct ipv6hdr *ip = data + parameters.ip_offset;

		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) > data_end)
			goto refused;
		ip->saddr.s6_addr32[3] = bpf_htonl(address);
	} else {
		struct iphdr *ip = data + parameters.ip_offset;

		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) > data_end)
			goto refused;
		ip->saddr = bpf_htonl(address);
		ip->check = checksum(parameters.ip_sum + halves(address));
	}
	udp->source = bpf_htons(source_port);
	udp->dest = bpf_htons(port);
	if (parameters.has_sequence) {
		stamp = (void *)(udp + 1);
		if ((void *)(stamp + 1) > data_end)
			goto refused;
		*stamp = bpf_cpu_to_be64(sequence);
		udp_sum += halves(sequence);
	}
	if (parameters.has_checksum) {
		udp->check = checksum(udp_sum);
		if (udp->check == 0)
			udp->check = 0xffff; /* 0 would mean "no checksum" */
	}

	if (bpf_redirect(parameters.ifindex, 0) != XDP_REDIRECT)
		goto refused;
	sent->frames[port_index & (TRAFFIC_PORTS - 1)]++;
	return XDP_REDIRECT;

refused:
	sent->refused++;
	return XDP_ABORTED;
}

char _license[] SEC("license") = "GPL";
