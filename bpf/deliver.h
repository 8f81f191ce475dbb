/* SPDX-License-Identifier: GPL-2.0 */
/*
 * action: deliver, the way in: packets to a listed port go to the kernel stack on the port that a local program has.
 * Who sent them, and to which port, is remembered for the answers; answer.bpf.c gives these the listed port back.
 */
#ifndef XDPSTEER_DELIVER_H
#define XDPSTEER_DELIVER_H

#include "icmp.h"
#include "parse.h"
#include "shared_maps.h"
#include "verdict.h"

/*
 * Two halves of a port for each rule slot, in network order, written by userspace through mmap. In force together with
 * the port table.
 */
__be16 delivery_ports[STEER_TABLES * STEER_RULE_ROOM] SEC(".bss.delivery");

/* The checksum's sum is taken of at most so many bytes; no driver's native XDP has longer frames. */
#define SUMMED_BYTES 32767
#define SUM_STEP 512 /* the most that bpf_csum_diff() takes */

/* The ones' complement sum of at most 8 words, folded, as a checksum that is compared with a field. */
static __always_inline __u32 fold_sum(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* A UDP checksum after a halfword that it covers has changed. Zero means that there is none. */
static __always_inline __be16 fixed_checksum(__be16 checksum, __be16 from, __be16 to)
{
	__u32 sum = fold_sum((__u64)(__u16)~checksum + (__u16)~from + to);

	return sum == 0xffff ? 0xffff : ~sum;
}

/* Adds the sum of the bytes from `at` on, `bytes` of them; a number below zero where they are not all there. */
__noinline __s64 sum_bytes(struct xdp_md *ctx, __u32 at, __u32 bytes, __u32 sum)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 offset = at;
	__s64 result = sum;

	for (int i = 0; i < (SUMMED_BYTES + 1) / SUM_STEP && bytes >= SUM_STEP; i++) {
		SHOW_BOUND(offset, 0xffff);
		if (offset > 0xffff - SUM_STEP || data + offset + SUM_STEP > data_end)
			return -1;
		result = bpf_csum_diff(NULL, 0, data + offset, SUM_STEP, result);
		offset += SUM_STEP;
		bytes -= SUM_STEP;
	}
#pragma unroll
	for (__u32 step = SUM_STEP / 2; step >= 4; step /= 2) {
		if (!(bytes & step))
			continue;
		SHOW_BOUND(offset, 0xffff);
		if (offset > 0xffff - SUM_STEP || data + offset + step > data_end)
			return -1;
		result = bpf_csum_diff(NULL, 0, data + offset, step, result);
		offset += step;
	}
	SHOW_BOUND(offset, 0xffff);
	if (offset > 0xffff - SUM_STEP)
		return -1;
	if (bytes & 2) {
		if (data + offset + 2 > data_end)
			return -1;
		result += *(__u16 *)(data + offset);
		offset += 2;
	}
	if (bytes & 1) {
		if (data + offset + 1 > data_end)
			return -1;
		result += *(__u8 *)(data + offset);
	}
	return result;
}

/*
 * True where the sender's stack has left the checksum to hardware that a virtual device does not have: the field is
 * the sum of the pseudo-header, which ports are no part of, and the kernel keeps beside the packet that it is not
 * finished. A finished one may look the same, in one packet of 65,536; then it is right for the whole datagram.
 */
static __always_inline bool is_unfinished(struct xdp_md *ctx, const struct udphdr *udp, const __be32 *addresses,
					  bool is_ipv6, void *data, void *data_end)
{
	__u64 sum = bpf_htons(IPPROTO_UDP) + (__u64)udp->len;
	__u32 bytes = host16(udp->len);
	__s64 whole;

#pragma unroll
	for (int i = 0; i < 8; i++) {
		if (i >= 2 && !is_ipv6)
			break;
		if ((void *)(addresses + i + 1) > data_end)
			return false; /* cannot be */
		sum += addresses[i];
	}
	sum = fold_sum(sum);
	if (udp->check != sum)
		return false;
	if (bytes > SUMMED_BYTES)
		return true;
	whole = sum_bytes(ctx, (void *)udp - data, bytes, sum);
	return whole >= 0 && fold_sum(whole) != 0xffff;
}

/* Of a rule; 0 where it has none. */
static __always_inline __be16 delivery_port(__u32 table, __u32 rule)
{
	__u64 at = (__u64)table * STEER_RULE_ROOM + rule;

	SHOW_BOUND(at, STEER_TABLES * STEER_RULE_ROOM - 1);
	return delivery_ports[at];
}

/* Remembers to which port a client has sent. */
static __always_inline void remember(const struct steer_flow *flow, __be16 port, __u32 rule)
{
	struct steer_delivery delivery = { .port = port, .rule = rule };
	struct steer_delivery *known;
	__u32 zero = 0;
	void *flows = bpf_map_lookup_elem(&delivered_flows, &zero);

	if (!flows)
		return; /* cannot be: userspace puts the memory in before it lists a rule that delivers */
	known = bpf_map_lookup_elem(flows, flow);
	if (!known)
		bpf_map_update_elem(flows, flow, &delivery, BPF_ANY);
	else if (known->port != port || known->rule != rule)
		*known = delivery;
}

/* Where in a frame a UDP packet has its addresses and its UDP header, in one number: bits of it. */
#define PLACE_UDP_SHIFT 14
#define PLACE_IPV6 (1u << 28)
#define PLACE_FRAGMENT (1u << 29) /* the first of several */

/* With an IP header that begins there, and UDP right behind it. */
#define PLACE_BEHIND(ip_at, header, addresses) \
	(((ip_at) + offsetof(header, addresses)) | ((ip_at) + sizeof(header)) << PLACE_UDP_SHIFT)
#define IPV4_PLACE(ip_at) PLACE_BEHIND(ip_at, struct iphdr, saddr)
#define IPV6_PLACE(ip_at) (PLACE_BEHIND(ip_at, struct ipv6hdr, saddr) | PLACE_IPV6)

static __always_inline __u32 place_of(void *data, const struct packet *packet, bool is_fragment)
{
	__u32 address_at = (void *)packet->addresses - data, udp_at = (void *)packet->udp - data;

	return (address_at & 0x3fff) | (udp_at & 0x3fff) << PLACE_UDP_SHIFT |
	       (packet->address_words == 8 ? PLACE_IPV6 : 0) | (is_fragment ? PLACE_FRAGMENT : 0);
}

/* Gives a packet the port that its rule delivers to. */
static __always_inline void readdress(struct xdp_md *ctx, __u32 place, __u32 table, __u32 rule)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct udphdr *udp = data + (place >> PLACE_UDP_SHIFT & 0x3fff);
	__be32 *addresses = data + (place & 0x3fff);
	bool is_ipv6 = place & PLACE_IPV6, is_fragment = place & PLACE_FRAGMENT;
	__be16 to = delivery_port(table, rule), from;
	struct steer_flow flow = { .family = is_ipv6 ? 6 : 4, .local_port = to };

	if ((void *)(udp + 1) > data_end || (void *)(addresses + 2) > data_end)
		return; /* cannot be */
	from = udp->dest;
	flow.client_port = udp->source;
	if (is_ipv6) {
		if ((void *)(addresses + 8) > data_end)
			return; /* cannot be */
#pragma unroll
		for (int i = 0; i < 4; i++) {
			flow.client[i] = addresses[i];
			flow.local[i] = addresses[4 + i];
		}
	} else {
		flow.client[0] = addresses[0];
		flow.local[0] = addresses[1];
	}
	remember(&flow, from, rule);
	if (from == to)
		return;
	if (udp->check && (is_fragment || !is_unfinished(ctx, udp, addresses, is_ipv6, data, data_end)))
		udp->check = fixed_checksum(udp->check, from, to);
	udp->dest = to;
}

/* A packet for a local program. */
__noinline int deliver(struct xdp_md *ctx, __u32 place, __u32 table, __u32 rule)
{
	readdress(ctx, place, table, rule);
	return delivered(ctx, rule);
}

/*
 * Gives the packet that an ICMP error quotes the port that the local program has sent it from, so that the stack knows
 * whose it is: path MTU, and that nobody listens. The checksum of the quoted packet is nobody's business any more.
 */
__noinline int readdress_quoted(struct xdp_md *ctx, __u32 icmp_at, __u32 udp_at, __u32 table, __u32 rule)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__be16 *checksum = data + (icmp_at & 0x3fff) + ICMP_CHECKSUM_AT;
	struct udphdr *udp = data + (udp_at & 0x3fff);
	__be16 to = delivery_port(table, rule);

	if ((void *)(checksum + 1) > data_end || (void *)(udp + 1) > data_end)
		return 0; /* cannot be */
	*checksum = fixed_checksum(*checksum, udp->source, to);
	udp->source = to;
	return 0;
}

#endif
