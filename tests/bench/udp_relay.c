// SPDX-License-Identifier: Apache-2.0
/*
 * What one would write to forward UDP through ordinary sockets: batches in and out, a connected socket per flow, epoll.
 *
 *   udp_relay PORT BACKEND_ADDRESS BACKEND_PORT [CPU]
 *
 * Prints "ready" when it receives.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define BATCH 256
#define PACKET_BYTES 2048
#define FLOWS 4096 /* a power of two; half of them are used at most */
#define EVENTS 64
#define SERVICE UINT32_MAX /* as an event: the service's own socket */

struct flow {
	struct sockaddr_in client;
	int fd; /* 0: free */
	int queued;
	struct mmsghdr queue[BATCH];
};

static struct flow *flows;
static int flow_count, service, poller;
static struct sockaddr_in backend;
static unsigned char packets[BATCH][PACKET_BYTES];
static struct sockaddr_in peers[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

static void die(const char *what)
{
	fprintf(stderr, "udp_relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct flow *flow_of(const struct sockaddr_in *client)
{
	uint32_t index = (client->sin_addr.s_addr ^ client->sin_port * 0x10001u) * 0x9e3779b1u >> 20;
	struct epoll_event event = { .events = EPOLLIN };
	struct flow *flow;

	for (;; index = (index + 1) % FLOWS) {
		flow = &flows[index];
		if (flow->fd == 0)
			break;
		if (flow->client.sin_port == client->sin_port && flow->client.sin_addr.s_addr == client->sin_addr.s_addr)
			return flow;
	}
	if (flow_count++ >= FLOWS / 2) {
		fputs("udp_relay: too many flows\n", stderr);
		exit(1);
	}
	flow->client = *client;
	flow->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (flow->fd < 0 || connect(flow->fd, (struct sockaddr *)&backend, sizeof(backend)))
		die("connect to the backend");
	event.data.u32 = index;
	if (epoll_ctl(poller, EPOLL_CTL_ADD, flow->fd, &event))
		die("epoll_ctl");
	return flow;
}

static int receive(int fd, struct sockaddr_in *names)
{
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ packets[i], PACKET_BYTES };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
		if (names) {
			messages[i].msg_hdr.msg_name = &names[i];
			messages[i].msg_hdr.msg_namelen = sizeof(names[i]);
		}
	}
	return recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
}

/* What does not go out is lost, as with any datagram. */
static void send_all(int fd, struct mmsghdr *queue, int count)
{
	for (int done = 0; done < count;) {
		int sent = sendmmsg(fd, queue + done, count - done, MSG_DONTWAIT);

		done += sent > 0 ? sent : 1;
	}
}

static void to_backend(void)
{
	static struct flow *touched[BATCH];
	int count = receive(service, peers), touched_count = 0;

	for (int i = 0; i < count; i++) {
		struct flow *flow = flow_of(&peers[i]);

		if (flow->queued == 0)
			touched[touched_count++] = flow;
		vectors[i].iov_len = messages[i].msg_len;
		flow->queue[flow->queued++].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	for (int i = 0; i < touched_count; i++) {
		send_all(touched[i]->fd, touched[i]->queue, touched[i]->queued);
		touched[i]->queued = 0;
	}
}

static void to_client(struct flow *flow)
{
	int count = receive(flow->fd, NULL);

	for (int i = 0; i < count; i++) {
		vectors[i].iov_len = messages[i].msg_len;
		messages[i].msg_hdr.msg_name = &flow->client;
		messages[i].msg_hdr.msg_namelen = sizeof(flow->client);
	}
	if (count > 0)
		send_all(service, messages, count);
}

int main(int argc, char **argv)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = SERVICE }, events[EVENTS];

	if (argc < 4)
		return 2;
	own.sin_port = htons(atoi(argv[1]));
	backend.sin_family = AF_INET;
	backend.sin_port = htons(atoi(argv[3]));
	if (inet_pton(AF_INET, argv[2], &backend.sin_addr) != 1)
		return 2;
	if (argc > 4) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(atoi(argv[4]), &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	flows = calloc(FLOWS, sizeof(*flows));
	service = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	poller = epoll_create1(0);
	if (!flows || service < 0 || poller < 0 || bind(service, (struct sockaddr *)&own, sizeof(own)) ||
	    epoll_ctl(poller, EPOLL_CTL_ADD, service, &event))
		die("start");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.u32 == SERVICE)
				to_backend();
			else
				to_client(&flows[events[i].data.u32]);
		}
	}
}
