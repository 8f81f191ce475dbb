// SPDX-License-Identifier: GPL-2.0
/*
 * The backend of the forward benchmark: answers what ping_pong sends, drops all else before a stack sees it. The
 * packets that arrive are the interface's rx_packets. At tc and not at XDP, where a veth first copies what came from a
 * socket, but not what the kernel forwarded.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PING bpf_htonl(0x70696e67) /* "ping" */

SEC("tc")
int tc_backend(struct __sk_buff *skb)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__be32 *payload = (void *)(udp + 1), address;
	__be16 port;
	unsigned char mac[ETH_ALEN];

	if ((void *)(payload + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_UDP || *payload != PING)
		return TC_ACT_SHOT;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	address = ip->daddr;
	ip->daddr = ip->saddr;
	ip->saddr = address;
	port = udp->dest;
	udp->dest = udp->source;
	udp->source = port;
	/* Across a veth it may be the pseudo header's only, and that would be wrong in the answer. */
	udp->check = 0;
	return bpf_redirect(skb->ifindex, 0);
}

char _license[] SEC("license") = "GPL";
