// SPDX-License-Identifier: Apache-2.0
/*
 * What xdpsteer's data path is measured against: the best plain C one would write, with libxdp's own inline ring
 * functions. One queue, one socket, one thread.
 *
 *   baseline -i IFACE -o OBJECT [-q QUEUE] [-m drop|count|echo] [-w busy|poll|adaptive] [-z] [-c CPU]
 *            [-p FIRST-LAST -r RULES]
 *
 * drop never looks at a packet; count reads its port and counts it under that, as xdpsteer's count does. -p is for
 * xdpsteer's own BPF object: it lists the ports, spread over a number of rules, all for this one socket.
 *
 * Prints "ready" when it receives, and at SIGUSR1 and SIGTERM one line of JSON with what it did so far.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <xdp/xsk.h>

#include "../../bpf/steer.h"

#define CHUNKS 4096
#define CHUNK_BYTES 2048
#define BATCH 64
#define RX_RING 2048
/* As xdpsteer: an adaptive wait spins for some microseconds, if packets came quickly the last time. */
#define SPIN_TURNS 3000
#define SPIN_WORTH_US 40
#define CLOCK_TURNS 8192 /* empty turns between looks at the clock */

enum mode { MODE_DROP, MODE_COUNT, MODE_ECHO };
enum wait_mode { WAIT_BUSY, WAIT_POLL, WAIT_ADAPTIVE };

static volatile sig_atomic_t asked, stopped;
static struct xsk_ring_cons rx, completion;
static struct xsk_ring_prod tx, fill;
static unsigned char *umem_area;
static unsigned long long received, bytes, sent, pauses;
static double pause_ms;
static struct { unsigned long long packets, bytes; } by_port[65536];

static void on_signal(int signal)
{
	asked = 1;
	stopped = signal != SIGUSR1;
}

static void die(const char *what, int error)
{
	fprintf(stderr, "baseline: %s: %s\n", what, strerror(error));
	exit(1);
}

static double now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static void swap(void *left, void *right, size_t length)
{
	unsigned char keep[16];

	memcpy(keep, left, length);
	memcpy(left, right, length);
	memcpy(right, keep, length);
}

static unsigned int sum_halfwords(const void *data, size_t length)
{
	const unsigned short *halfword = data;
	unsigned int sum = 0;

	for (; length > 1; length -= 2)
		sum += *halfword++;
	return length ? sum + *(const unsigned char *)halfword : sum;
}

static unsigned short fold(unsigned int sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/*
 * The same work as xdpsteer's echo, IPv4 without VLAN: swap addresses and ports, complete an unfinished UDP checksum.
 */
static bool echo(unsigned char *packet, unsigned int length)
{
	struct ethhdr *eth = (void *)packet;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)((unsigned char *)ip + ip->ihl * 4);
	unsigned short pseudo;

	if (length < sizeof(*eth) + sizeof(*ip) + sizeof(*udp) || eth->h_proto != htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP ||
	    (unsigned char *)udp + ntohs(udp->len) > packet + length)
		return false;
	if (udp->check != 0) {
		pseudo = fold(sum_halfwords(&ip->saddr, 8) + htons(IPPROTO_UDP) + udp->len);
		if (udp->check == pseudo) {
			udp->check = 0;
			udp->check = ~fold(pseudo + fold(sum_halfwords(udp, ntohs(udp->len))));
		}
	}
	swap(eth->h_dest, eth->h_source, ETH_ALEN);
	swap(&ip->saddr, &ip->daddr, 4);
	swap(&udp->source, &udp->dest, 2);
	return true;
}

/* IPv4 without VLAN again, everything checked before the port is believed. */
static void count(const unsigned char *packet, unsigned int length)
{
	const struct ethhdr *eth = (const void *)packet;
	const struct iphdr *ip = (const void *)(eth + 1);
	const struct udphdr *udp = (const void *)((const unsigned char *)ip + ip->ihl * 4);
	unsigned int port = 0;

	if (length >= sizeof(*eth) + sizeof(*ip) + sizeof(*udp) && eth->h_proto == htons(ETH_P_IP) && ip->protocol == IPPROTO_UDP &&
	    !(ip->frag_off & htons(0x3fff)) && (const unsigned char *)udp + ntohs(udp->len) <= packet + length)
		port = ntohs(udp->dest);
	by_port[port].packets++;
	by_port[port].bytes += length;
}

static void recycle(const __u64 *addresses, unsigned int count)
{
	__u32 at = 0;

	if (count == 0)
		return;
	while (xsk_ring_prod__reserve(&fill, count, &at) != count)
		;
	for (unsigned int i = 0; i < count; i++)
		*xsk_ring_prod__fill_addr(&fill, at++) = addresses[i] & ~(__u64)(CHUNK_BYTES - 1);
	xsk_ring_prod__submit(&fill, count);
}

static void collect_completed(void)
{
	__u64 addresses[BATCH];
	__u32 at = 0;
	unsigned int count = xsk_ring_cons__peek(&completion, BATCH, &at);

	for (unsigned int i = 0; i < count; i++)
		addresses[i] = *xsk_ring_cons__comp_addr(&completion, at++);
	if (count > 0)
		xsk_ring_cons__release(&completion, count);
	recycle(addresses, count);
}

/* One batch; returns how many packets it had. */
static unsigned int turn(int fd, enum mode mode, unsigned int *unsent)
{
	__u64 returned[BATCH];
	unsigned int returned_count = 0, used = 0, reserved = 0, taken;
	__u32 rx_at, tx_at = 0;

	taken = xsk_ring_cons__peek(&rx, BATCH, &rx_at);
	if (mode == MODE_ECHO && taken > 0)
		reserved = xsk_ring_prod__reserve(&tx, taken, &tx_at);
	for (unsigned int i = 0; i < taken; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&rx, rx_at++);

		bytes += desc->len;
		if (mode == MODE_COUNT)
			count(umem_area + desc->addr, desc->len);
		if (used < reserved && echo(umem_area + desc->addr, desc->len)) {
			struct xdp_desc *out = xsk_ring_prod__tx_desc(&tx, tx_at + used++);

			out->addr = desc->addr;
			out->len = desc->len;
			out->options = 0;
		} else {
			returned[returned_count++] = desc->addr;
		}
	}
	if (taken > 0)
		xsk_ring_cons__release(&rx, taken);
	if (used < reserved)
		tx.cached_prod -= reserved - used;
	if (used > 0) {
		xsk_ring_prod__submit(&tx, used);
		*unsent += used;
	}
	recycle(returned, returned_count);
	received += taken;
	sent += used;
	if (mode == MODE_ECHO) {
		for (int kicks = 0; kicks < 4 && *unsent > 0 && xsk_ring_prod__needs_wakeup(&tx); kicks++) {
			unsigned int left;

			sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
			left = *tx.producer - __atomic_load_n(tx.consumer, __ATOMIC_ACQUIRE);
			if (left == *unsent)
				break;
			*unsent = left;
		}
		collect_completed();
	}
	return taken;
}

/* A spinning loop that did not get round for a millisecond was kept from running. @returns the time now. */
static double note_pause(double since)
{
	double now = now_us();

	if (now - since >= 1000) {
		pauses++;
		pause_ms += (now - since) / 1000;
	}
	return now;
}

static void run(int fd, enum mode mode, enum wait_mode wait)
{
	struct pollfd set = { .fd = fd, .events = POLLIN };
	struct timespec shortly = { .tv_nsec = 1000000 };
	sigset_t none, asking;
	unsigned int unsent = 0, empty = 0, spin_turns = wait == WAIT_POLL ? 1 : SPIN_TURNS;
	double since = 0;

	/* Who sleeps takes signals only then: one that came just before would not end the sleep. */
	sigemptyset(&none);
	sigemptyset(&asking);
	sigaddset(&asking, SIGUSR1);
	sigaddset(&asking, SIGTERM);
	sigaddset(&asking, SIGINT);
	if (wait != WAIT_BUSY)
		sigprocmask(SIG_BLOCK, &asking, NULL);
	for (;;) {
		if (asked) {
			asked = 0;
			printf("{\"received\":%llu,\"bytes\":%llu,\"sent\":%llu,\"pauses\":%llu,\"pauseMs\":%.3f}\n", received, bytes, sent,
			       pauses, pause_ms);
			fflush(stdout);
			if (stopped)
				return;
		}
		if (turn(fd, mode, &unsent) > 0) {
			if (empty > 0 && wait == WAIT_ADAPTIVE)
				spin_turns = now_us() - since < SPIN_WORTH_US ? SPIN_TURNS : 1;
			if (empty > 0 && wait == WAIT_BUSY)
				note_pause(since);
			empty = 0;
			continue;
		}
		if (empty++ == 0 && wait != WAIT_POLL)
			since = now_us();
		if (wait == WAIT_BUSY && empty % CLOCK_TURNS == 0)
			since = note_pause(since);
		if (wait != WAIT_BUSY && empty >= spin_turns)
			ppoll(&set, 1, unsent > 0 ? &shortly : NULL, &none);
	}
}

static int open_socket(const char *interface, unsigned int queue, bool zero_copy, struct xsk_socket **socket)
{
	struct xsk_umem_config umem_config = { .fill_size = CHUNKS, .comp_size = RX_RING, .frame_size = CHUNK_BYTES };
	struct xsk_socket_config config = {
		.rx_size = RX_RING,
		.tx_size = RX_RING,
		.libbpf_flags = XSK_LIBBPF_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_USE_NEED_WAKEUP | (zero_copy ? XDP_ZEROCOPY : XDP_COPY),
	};
	struct xsk_umem *umem;
	int error;
	__u32 at = 0;

	umem_area = mmap(NULL, CHUNKS * CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (umem_area == MAP_FAILED)
		die("mmap", errno);
	error = xsk_umem__create(&umem, umem_area, CHUNKS * CHUNK_BYTES, &fill, &completion, &umem_config);
	if (error)
		die("xsk_umem__create", -error);
	/* The kernel frees the queue of a socket that just died a little later. */
	for (int tries = 0; tries < 100; tries++) {
		error = xsk_socket__create(socket, interface, queue, umem, &rx, &tx, &config);
		if (error != -EBUSY)
			break;
		usleep(10000);
	}
	if (error)
		die("xsk_socket__create", -error);
	xsk_ring_prod__reserve(&fill, CHUNKS, &at);
	for (unsigned int i = 0; i < CHUNKS; i++)
		*xsk_ring_prod__fill_addr(&fill, at++) = (__u64)i * CHUNK_BYTES;
	xsk_ring_prod__submit(&fill, CHUNKS);
	return xsk_socket__fd(*socket);
}

/* Fills xdpsteer's port table: every port from first to last for worker 0, in turn to each of the rules. */
static void list_ports(struct bpf_object *object, unsigned int first, unsigned int last, unsigned int rules)
{
	static struct steer_port_entry table[STEER_TABLES * STEER_PORTS];
	__u32 zero = 0;

	for (unsigned int port = first; port <= last; port++) {
		table[port].rule = 1 + (port - first) % rules;
		table[port].action = STEER_ACTION_REDIRECT;
		table[port].addresses = STEER_ADDRESS_SET_ANY;
	}
	if (bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, ".bss.ports"), &zero, table, 0))
		die("fill port_to_queue_map", errno);
}

int main(int argc, char **argv)
{
	const char *interface = NULL, *object_path = NULL;
	bool zero_copy = false;
	enum mode mode = MODE_DROP;
	enum wait_mode wait = WAIT_BUSY;
	unsigned int queue = 0, first = 0, last = 0, rules = 1;
	struct bpf_object *object;
	struct bpf_program *program;
	struct xsk_socket *socket;
	int option, fd;

	while ((option = getopt(argc, argv, "i:o:q:m:w:zc:p:r:")) != -1) {
		if (option == 'i') interface = optarg;
		else if (option == 'o') object_path = optarg;
		else if (option == 'q') queue = atoi(optarg);
		else if (option == 'm') mode = *optarg == 'e' ? MODE_ECHO : *optarg == 'c' ? MODE_COUNT : MODE_DROP;
		else if (option == 'w') wait = *optarg == 'b' ? WAIT_BUSY : *optarg == 'p' ? WAIT_POLL : WAIT_ADAPTIVE;
		else if (option == 'z') zero_copy = true;
		else if (option == 'p' && sscanf(optarg, "%u-%u", &first, &last) == 2) ;
		else if (option == 'r') rules = atoi(optarg);
		else if (option == 'c') {
			cpu_set_t set;

			CPU_ZERO(&set);
			CPU_SET(atoi(optarg), &set);
			if (sched_setaffinity(0, sizeof(set), &set))
				die("sched_setaffinity", errno);
		} else return 2;
	}
	if (!interface || !object_path)
		return 2;
	signal(SIGUSR1, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);

	object = bpf_object__open_file(object_path, NULL);
	if (!object || bpf_object__load(object))
		die("load the BPF object", errno);
	program = bpf_object__next_program(object, NULL);
	if (last > 0)
		list_ports(object, first, last, rules);
	fd = open_socket(interface, queue, zero_copy, &socket);
	if (bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, "xsk_map"), &queue, &fd, 0))
		die("fill xsk_map", errno);
	if (!bpf_program__attach_xdp(program, if_nametoindex(interface)))
		die("attach", errno);
	puts("ready");
	fflush(stdout);

	run(fd, mode, wait);
	return 0;
}
