// SPDX-License-Identifier: GPL-2.0
/*
 * xdp_port_redirect: reads the UDP destination port of every packet, looks it up in a table of all 65,536 ports, and
 * redirects the packet to the AF_XDP socket of (this queue, the worker that owns the port).
 *
 * Only listed UDP ports leave the kernel's path: whatever is not understood, fragmented, malformed or unlisted is
 * passed to the kernel stack and counted by reason. What a rule decides is counted with the rule. Every return does one
 * of the two, so the sum of both is what was seen.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "admit.h"
#include "deliver.h"
#include "guard.h"
#include "icmp.h"
#include "kept.h"
#include "parameters.h"
#include "parse_any.h"
#include "senders.h"
#include "steer.h"
#include "verdict.h"

/* Where the IP header is behind one VLAN tag, and where a plain packet has what it has. */
#define TAGGED_BYTES (sizeof(struct ethhdr) + sizeof(struct vlan_tag))
#define PLAIN_PLACE IPV4_PLACE(sizeof(struct ethhdr))

/* In an entry that has been read: its packet is counted by its sender. No flag of a port is that high. */
#define COUNTED (1ULL << 39)
#define GUARDED ((__u64)STEER_PORT_FLAG_GUARDED << 32)
#define ACTION (0xffULL << 24)
/* Of STEER_ACTION_REDIRECT and what follows: a bit. */
#define REDIRECTED ((__u64)STEER_ACTION_REDIRECT << 24)

/*
 * To a worker. Rare cases are functions that it ends with, and counting comes last, so that all that is needed of a
 * packet stays in registers.
 */
static __always_inline int steer_redirected(struct xdp_md *ctx, __u64 entry, const struct packet *packet)
{
	/*
	 * With one worker the socket does not depend on what was read of the packet: the CPU need not wait for the
	 * packet, the table and the map one after the other before it knows the socket.
	 */
	__u32 socket = ctx->rx_queue_index;

	if (parameters.worker_count != 1)
		socket = socket * parameters.worker_count +
			(OF_ENTRY(entry, action) == STEER_ACTION_SPREAD ?
				 ((__u64)flow_hash(packet, (void *)(long)ctx->data_end) * parameters.worker_count) >> 32 :
				 OF_ENTRY(entry, worker));
	return redirect(ctx, OF_ENTRY(entry, rule), socket, packet->port, ctx->data_end - ctx->data);
}

/* To nobody, or to the kernel stack. */
static __always_inline int steer_here(struct xdp_md *ctx, __u32 table, __u64 entry, __u32 place)
{
	__u32 rule = OF_ENTRY(entry, rule);

	return OF_ENTRY(entry, action) == STEER_ACTION_DELIVER ? deliver(ctx, place, table, rule) :
	       OF_ENTRY(entry, action) == STEER_ACTION_PASS	? passed(ctx, rule) :
								  dropped(ctx, rule);
}

/* Finds everything in a complete packet again. False where it is not there, which cannot be. */
static __always_inline bool find_again(struct xdp_md *ctx, __u32 port, __u32 place, struct packet *packet)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;

	packet->port = port;
	packet->udp = data + (place >> PLACE_UDP_SHIFT & 0x3fff);
	packet->addresses = data + (place & 0x3fff);
	packet->address_words = place & PLACE_IPV6 ? 8 : 2;
	return (void *)(packet->udp + 1) <= data_end && (void *)(packet->addresses + 2) <= data_end;
}

/* The same for a packet that is counted by its sender, or has to be let in: of a rule that has a guard. */
__noinline int steer_guarded(struct xdp_md *ctx, __u32 table, __u64 entry, __u32 place)
{
	__u32 words = place & PLACE_IPV6 ? 8 : 2;
	struct packet packet;

	if (entry & COUNTED)
		count_sender(ctx, place & 0x3fff, words, OF_ENTRY(entry, rule));
	if (entry & GUARDED &&
	    guard_of(ctx, place & 0x3fff, words, table, OF_ENTRY(entry, rule)))
		return XDP_DROP;
	if (!(entry & REDIRECTED))
		return steer_here(ctx, table, entry, place);
	if (!find_again(ctx, 0, place, &packet))
		return decided(STEER_REASON_TRUNCATED);
	packet.port = host16(packet.udp->dest);
	return steer_redirected(ctx, entry, &packet);
}

static __always_inline __u64 counted(__u64 entry, __u32 counts_sources)
{
	return counts_sources ? entry | COUNTED : entry;
}

/* What an entry says of a packet that it is for. The usual cases first, by one comparison each. */
static __always_inline int steer_let_in(struct xdp_md *ctx, __u32 table, __u64 entry, const struct packet *packet,
					__u32 place)
{
	if (LIKELY((entry & (GUARDED | COUNTED | REDIRECTED)) == REDIRECTED))
		return steer_redirected(ctx, entry, packet);
	if (LIKELY((entry & (GUARDED | COUNTED | ACTION)) == (__u64)STEER_ACTION_DROP << 24))
		return dropped(ctx, OF_ENTRY(entry, rule));
	if (entry & (GUARDED | COUNTED))
		return steer_guarded(ctx, table, entry, place);
	return steer_here(ctx, table, entry, place);
}

/* Whether any packet may be an answer to a client that keeps its address. While no worker runs, these pass too. */
static __always_inline bool looks_for_clients(__u32 table)
{
	return READ_ONCE_U32(steering_control.keeps_clients) && table != STEER_NO_TABLE;
}

/* The socket of the worker that has a session, which worker_of_client() has found. */
static __always_inline int redirect_kept(struct xdp_md *ctx, __u32 worker, __u32 port)
{
	return redirect(ctx, kept.rule, ctx->rx_queue_index * parameters.worker_count + worker - 1, port,
			ctx->data_end - ctx->data);
}

/*
 * The worker of an answer to a client that keeps its address, plus one; 0 for all other packets, and for what a socket
 * of the kernel would not get: the rules decide on those.
 */
static __always_inline __u32 find_answered_worker(struct xdp_md *ctx, __u32 place)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 address_at = place & 0x3fff, words = place & PLACE_IPV6 ? 4 : 1;
	struct udphdr *udp = data + (place >> PLACE_UDP_SHIFT & 0x3fff);

	if (data + sizeof(struct ethhdr) > data_end || (void *)(udp + 1) > data_end || !is_kept_port(udp->source) ||
	    !is_own_mac(destination_mac(data)))
		return 0;
	if (words == 1) {
		struct iphdr *ip = data + ((address_at - offsetof(struct iphdr, saddr)) & 0x3fff);

		if ((void *)(ip + 1) > data_end || !is_header_sound(ip, data_end))
			return 0;
	}
	return worker_of_client(ctx, address_at, address_at + 4 * words, words,
				(__u32)udp->dest << 16 | udp->source);
}

__noinline __u32 answered_worker(struct xdp_md *ctx, __u32 place)
{
	return find_answered_worker(ctx, place);
}

/*
 * A first fragment: the kernel stack would answer that nobody listens on a port that a worker serves, to a client that
 * has sent a datagram of several fragments.
 */
__noinline int decide_fragment(struct xdp_md *ctx, __u32 port, __u32 place)
{
	__u32 address_at = place & 0x3fff, address_words = place & PLACE_IPV6 ? 8 : 2;
	__u32 table = READ_ONCE_U32(steering_control.active_table);
	const struct steer_port_entry *entry = entry_of(table, port);
	struct steer_rule_counters *counters;
	__u32 answer, rule;

	if (looks_for_clients(table) && answered_worker(ctx, place))
		return decided(STEER_REASON_FRAGMENT_DROPPED);
	if (entry->action == STEER_ACTION_NONE)
		return decided(STEER_REASON_FRAGMENT);
	answer = admit(ctx, address_at, address_words, table, port);
	if (!IS_ADMITTED(answer))
		return decided(STEER_REASON_FRAGMENT);
	entry = admitted_entry(table, port, answer);
	if (READ_ONCE_U32(steering_control.counts_sources))
		count_sender(ctx, address_at, address_words, entry->rule);
	if (entry->flags & STEER_PORT_FLAG_GUARDED && guard(ctx, address_at, address_words, table, entry->rule))
		return XDP_DROP;
	if (entry->action == STEER_ACTION_DELIVER)
		return deliver(ctx, place, table, entry->rule);
	if (!(entry->flags & STEER_PORT_FLAG_DROP_FRAGMENTS))
		return decided(STEER_REASON_FRAGMENT);
	if (entry->action == STEER_ACTION_DROP)
		return dropped(ctx, entry->rule);
	rule = entry->rule;
	counters = bpf_map_lookup_elem(&rule_counters, &rule);
	if (counters)
		counters->fragment_packets++;
	return decided(STEER_REASON_FRAGMENT_DROPPED);
}

/*
 * An ICMP message: an error about a packet that a worker has sent goes to this worker, all others to the kernel stack.
 * The worker is the one of the port and address that the packet came from, which is the backend's way to a worker or a
 * rule's port; where flows are spread over workers, the one that gets the packets of the other direction.
 *
 * Offsets within the frame: of the ICMP header, of the IP packet's addresses, and of its end.
 */
__noinline int steer_error(struct xdp_md *ctx, __u32 icmp, __u32 address_at, __u32 end, __u32 address_words)
{
	__u32 table = READ_ONCE_U32(steering_control.active_table);
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	const struct steer_port_entry *entry;
	struct packet packet = {};
	__u32 worker, answer;

	if (!parse_error(data + (icmp & 0x3fff), data + (address_at & 0x3fff), data + (end & 0x1ffff), data_end,
			 address_words == 8, &packet))
		return decided(STEER_REASON_NOT_UDP);
	if (looks_for_clients(table) && is_kept_port(packet.udp->dest) && data + sizeof(struct ethhdr) <= data_end &&
	    is_own_mac(destination_mac(data))) {
		/* It may quote what a client has sent to a backend. */
		__u32 quoted_at = (void *)packet.addresses - data, words = address_words / 2;

		worker = worker_of_client(ctx, quoted_at + 4 * words, quoted_at, words,
					  (__u32)packet.udp->source << 16 | packet.udp->dest);
		if (worker)
			return redirect_kept(ctx, worker, packet.port);
	}
	if (entry_of(table, packet.port)->action == STEER_ACTION_NONE)
		return decided(STEER_REASON_NOT_UDP);
	/* The quoted packet was sent from the address that the error is for. */
	answer = admit(ctx, address_at, address_words, table, packet.port);
	if (!IS_ADMITTED(answer))
		return decided(STEER_REASON_NOT_UDP);
	entry = admitted_entry(table, packet.port, answer);
	if (entry->action == STEER_ACTION_DELIVER)
		readdress_quoted(ctx, icmp, (void *)packet.udp - data, table, entry->rule);
	if (entry->action < STEER_ACTION_REDIRECT || !(entry->flags & STEER_PORT_FLAG_ERRORS))
		return decided(STEER_REASON_NOT_UDP);
	worker = entry->worker;
	if (entry->action == STEER_ACTION_SPREAD)
		worker = ((__u64)turned_flow_hash(&packet, data_end) * parameters.worker_count) >> 32;
	return redirect(ctx, entry->rule, ctx->rx_queue_index * parameters.worker_count + worker, packet.port,
			data_end - data);
}

/* Whether admit() would say that the port's first entry is for a packet, by what is inline. False says nothing. */
static __always_inline bool is_plainly_admitted(__u32 table, __u32 set, void *data, void *data_end, __u32 place)
{
	const struct steer_addresses *known = addresses_of(table);
	__u32 address_at = place & 0x3fff;

	if (set == STEER_ADDRESS_SET_ANY)
		return true;
	if (data + sizeof(struct ethhdr) > data_end)
		return false; /* cannot be */
	if (place & PLACE_IPV6) {
		struct ipv6hdr *ip = data + ((address_at - offsetof(struct ipv6hdr, saddr)) & 0x3fff);

		return (void *)(ip + 1) <= data_end && is_usual_ipv6(data, ip) &&
		       inline_ipv6_mask(known, ip->daddr.s6_addr32) >> set & 1;
	} else {
		struct iphdr *ip = data + ((address_at - offsetof(struct iphdr, saddr)) & 0x3fff);

		return (void *)(ip + 1) <= data_end && ip->ihl == 5 && is_usual_ipv4(known, data, ip) &&
		       inline_ipv4_mask(known, ip->daddr) >> set & 1;
	}
}

/*
 * A complete packet wherever its headers are. A global function: the verifier follows it once, and not for each of the
 * ways in which parse() can have found them.
 */
__noinline int steer_found(struct xdp_md *ctx, __u32 port, __u32 place)
{
	__u32 table = READ_ONCE_U32(steering_control.active_table);
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct packet packet;
	__u64 entry;

	if (looks_for_clients(table)) {
		__u32 worker = find_answered_worker(ctx, place);

		if (worker)
			return redirect_kept(ctx, worker, port);
	}
	entry = entry_word_of(table, port);
	if (OF_ENTRY(entry, action) == STEER_ACTION_NONE)
		return unlisted(table, port);
	if (!find_again(ctx, port, place, &packet))
		return decided(STEER_REASON_TRUNCATED);
	if (!is_plainly_admitted(table, OF_ENTRY(entry, addresses), data, data_end, place)) {
		__u32 answer = admit(ctx, place & 0x3fff, packet.address_words, table, port);

		if (!IS_ADMITTED(answer))
			return decided(answer & 0xff);
		entry = admitted_word(table, port, answer);
	}
	entry = counted(entry, READ_ONCE_U32(steering_control.counts_sources));
	return steer_let_in(ctx, table, entry, &packet, place);
}

/* The same for a packet that is usual but for its destination address, which is not inline, or not the first rule's. */
__noinline int steer_elsewhere(struct xdp_md *ctx, __u32 table, __u32 port, __u32 place)
{
	struct packet packet;
	__u32 answer;
	__u64 entry;

	if (!find_again(ctx, port, place, &packet))
		return decided(STEER_REASON_TRUNCATED);
	answer = place & PLACE_IPV6 ? admit(ctx, place & 0x3fff, 8, table, port) :
				      admit_mask(table, entry_of(table, port), ipv4_mask(table, packet.addresses[1]));
	if (!IS_ADMITTED(answer))
		return decided(answer & 0xff);
	entry = admitted_word(table, port, answer);
	entry = counted(entry, READ_ONCE_U32(steering_control.counts_sources));
	return steer_let_in(ctx, table, entry, &packet, place);
}

/* A packet of a plain kind, which has everything at a place that the compiler knows. */
static __always_inline int steer_plain(struct xdp_md *ctx, void *data, const struct packet *packet, __u32 place)
{
	/* Read once: all of this packet is decided by one half of the tables. */
	__u32 table = READ_ONCE_U32(steering_control.active_table);
	__u64 asks = *(volatile __u64 *)&steering_control.counts_sources; /* and keeps_clients */
	__u64 entry = entry_word_of(table, packet->port);
	__u32 action_and_less;

	if (UNLIKELY(asks)) {
		if (asks >> 32 && table != STEER_NO_TABLE && is_kept_port(packet->udp->source))
			return steer_found(ctx, packet->port, place);
		entry = counted(entry, asks);
	}
	action_and_less = entry;
	asm volatile("" : "+r"(action_and_less)); /* or the compiler makes a larger comparison of it */
	/* The usual way straight on: the compiler lays code out as it stands here. */
	if (LIKELY(action_and_less >= 1u << 24)) {
		bool is_for_any = OF_ENTRY(entry, addresses) == STEER_ADDRESS_SET_ANY;
		const struct steer_addresses *known = addresses_of(table);
		__be32 *to = packet->addresses + packet->address_words / 2;
		void *ip = (void *)packet->udp - (place & PLACE_IPV6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));

		if (LIKELY(is_for_any ||
			   (place & PLACE_IPV6 ? is_usual_ipv6(data, ip) : is_usual_ipv4(known, data, ip)))) {
			if (LIKELY(is_for_any ||
				   (place & PLACE_IPV6 ? inline_ipv6_mask(known, to) : inline_ipv4_mask(known, *to)) >>
						   OF_ENTRY(entry, addresses) & 1))
				return steer_let_in(ctx, table, entry, packet, place);
			return steer_elsewhere(ctx, table, packet->port, place);
		}
		return steer_found(ctx, packet->port, place);
	}
	return unlisted(table, packet->port);
}

/* Plain packets but for untagged IPv4: functions of their own, so that their variables take no registers from it. */
#define STEER_PLAIN(name, place)                                                                                       \
	__noinline int name(struct xdp_md *ctx, __u32 port)                                                            \
	{                                                                                                              \
		void *data = (void *)(long)ctx->data;                                                                  \
		struct packet packet;                                                                                  \
                                                                                                                       \
		return find_again(ctx, port, place, &packet) ? steer_plain(ctx, data, &packet, place) :                \
							       decided(STEER_REASON_TRUNCATED); /* cannot be */        \
	}
STEER_PLAIN(steer_ipv6, IPV6_PLACE(sizeof(struct ethhdr)))
STEER_PLAIN(steer_tagged_ipv4, IPV4_PLACE(TAGGED_BYTES))
STEER_PLAIN(steer_tagged_ipv6, IPV6_PLACE(TAGGED_BYTES))

/* What find_others() says of a packet that the tables decide about; else the verdict, which is less. */
#define FOUND(port, place) ((__u64)(place) << 32 | (port))
#define IS_FOUND(found) ((found) >> 32)

/*
 * All packets that are not of the plain kind: a function of its own, so that its variables take no registers from the
 * plain ones, and no stack from steer_found().
 */
static __noinline __u64 find_others(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct packet packet = {};
	enum steer_reason reason = parse(ctx, data, data_end, &packet);

	if (reason == STEER_REASON_STEERED)
		return FOUND(packet.port, place_of(data, &packet, false));
	if (reason == STEER_REASON_FRAGMENT && packet.udp)
		return decide_fragment(ctx, packet.port, place_of(data, &packet, true));
	if (packet.icmp)
		return steer_error(ctx, packet.icmp - data, (void *)packet.addresses - data, packet.end - data,
				   packet.address_words);
	if (reason == STEER_REASON_TRUNCATED || reason == STEER_REASON_BAD_LENGTH)
		emit(ctx, STEER_EVENT_MALFORMED, reason, 0);
	return decided(reason);
}

SEC("xdp")
int xdp_port_redirect(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct packet packet = {};
	__u64 found;

	if (LIKELY(parse_plain(data, data_end, &packet)))
		return steer_plain(ctx, data, &packet, PLAIN_PLACE);
	if (LIKELY(parse_plain_ipv6(data, data_end, &packet)))
		return steer_ipv6(ctx, packet.port);
	if (is_tagged(data, data_end)) {
		if (parse_plain(data + sizeof(struct vlan_tag), data_end, &packet))
			return steer_tagged_ipv4(ctx, packet.port);
		if (parse_plain_ipv6(data + sizeof(struct vlan_tag), data_end, &packet))
			return steer_tagged_ipv6(ctx, packet.port);
	}
	found = find_others(ctx);
	return IS_FOUND(found) ? steer_found(ctx, found & 0xffff, found >> 32) : (int)found;
}

char _license[] SEC("license") = "GPL";
