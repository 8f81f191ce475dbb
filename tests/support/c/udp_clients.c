// SPDX-License-Identifier: Apache-2.0
/*
 * Many clients of one UDP service, each on a socket of its own: every one sends a request, waits for the answer,
 * compares it, and sends the next. The first byte of an answer says which backend it is from.
 *
 *   udp_clients ADDRESS PORT CLIENTS REQUESTS BYTES WINDOW TIMEOUT_MS PER_SECOND
 *
 * REQUESTS of each client; 0: until SIGTERM. At most WINDOW requests are under way. After each client's first, all send
 * PER_SECOND requests a second at most; 0: as fast as answers come. Prints "ready" after each client's first answer (or
 * its loss), and at the end one line of JSON. An answer after its timeout is "late": neither lost twice nor right.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct client {
	int fd;
	unsigned int sequence; /* of the last request */
	int waiting;
	int backend; /* -1: none has answered yet */
	double deadline;
};

static struct client *clients;
static int count, bytes;
static long sent, answered, lost, wrong, late, moved, first_round;
static long by_backend[256], answers_of[256];
static volatile sig_atomic_t stopping;
/* Requests in the order in which they were sent, and so in that of their deadlines; most are long answered. */
#define QUEUE_SIZE (1 << 22)
static struct request {
	int client;
	unsigned int sequence;
} *queue;
static unsigned int queue_head, queue_tail;
static int under_way;
static long done;

static double now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void on_term(int signal)
{
	(void)signal;
	stopping = 1;
}

static void fill(unsigned char *data, int client, unsigned int sequence)
{
	unsigned int state = client * 2654435761u ^ sequence * 40503u;

	data[0] = 0;
	memcpy(data + 1, &client, 4);
	memcpy(data + 5, &sequence, 4);
	for (int at = 9; at < bytes; at++) {
		state = state * 1664525u + 1013904223u;
		data[at] = state >> 24;
	}
}

static int transmit(int index, double now, double timeout)
{
	unsigned char data[65536];
	struct client *client = &clients[index];

	client->sequence++;
	fill(data, index, client->sequence);
	if (send(client->fd, data, bytes, 0) < 0 && errno != ECONNREFUSED && send(client->fd, data, bytes, 0) < 0)
		return -1;
	sent++;
	client->waiting = 1;
	client->deadline = now + timeout;
	queue[queue_tail++ % QUEUE_SIZE] = (struct request){ index, client->sequence };
	under_way++;
	return 0;
}

static void finish(struct client *client)
{
	client->waiting = 0;
	under_way--;
	done++;
	if (client->sequence == 1)
		first_round++;
}

static void receive(int index)
{
	unsigned char data[65536], expected[65536];
	struct client *client = &clients[index];
	ssize_t length = recv(client->fd, data, sizeof(data), MSG_DONTWAIT);

	if (length < 0)
		return; /* an ICMP error: the timeout counts */
	fill(expected, index, client->sequence);
	if (!client->waiting || length < 9 || memcmp(data + 5, expected + 5, 4)) {
		late++;
		return;
	}
	finish(client);
	if (length != bytes || memcmp(data + 1, expected + 1, bytes - 1)) {
		wrong++;
		return;
	}
	answered++;
	answers_of[data[0]]++;
	if (client->backend != data[0]) {
		if (client->backend >= 0) {
			moved++;
			by_backend[client->backend]--;
		}
		client->backend = data[0];
		by_backend[client->backend]++;
	}
}

/* The members of a JSON object, for backends that have any. */
static void print_numbers(const long *numbers)
{
	const char *separator = "";

	for (int backend = 0; backend < 256; backend++)
		if (numbers[backend]) {
			printf("%s\"%d\":%ld", separator, backend, numbers[backend]);
			separator = ",";
		}
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct epoll_event events[256];
	struct rlimit files = { 65536, 65536 };
	int is_six, poll_fd, window, next = 0, told = 0;
	long requests, paced_from = 0;
	double timeout, start, per_ms, ready_at = 0;

	if (argc < 9)
		return 2;
	count = atoi(argv[3]);
	requests = atol(argv[4]);
	bytes = atoi(argv[5]);
	window = atoi(argv[6]);
	timeout = atof(argv[7]);
	per_ms = atof(argv[8]) / 1000;
	is_six = strchr(argv[1], ':') != NULL;
	six.sin6_port = four.sin_port = htons(atoi(argv[2]));
	inet_pton(is_six ? AF_INET6 : AF_INET, argv[1], is_six ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGTERM, on_term);
	clients = calloc(count, sizeof(*clients));
	queue = calloc(QUEUE_SIZE, sizeof(*queue));
	poll_fd = epoll_create1(0);
	for (int index = 0; index < count; index++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = index };
		int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);

		if (connect(fd, is_six ? (void *)&six : (void *)&four, is_six ? sizeof(six) : sizeof(four))) {
			perror("connect");
			return 1;
		}
		epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
		clients[index] = (struct client){ .fd = fd, .backend = -1 };
	}
	start = now_ms();
	while (!(under_way == 0 && (stopping || (requests && done == requests * count)))) {
		double now = now_ms();
		int ready;

		for (int looks = 0; under_way < window && looks < count && !stopping; looks++) {
			struct client *client = &clients[next];

			if (per_ms > 0 && told && sent - paced_from >= per_ms * (now - ready_at))
				break;
			if (!client->waiting && (!requests || client->sequence < requests)) {
				if (transmit(next, now, timeout)) {
					perror("send");
					return 1;
				}
			}
			next = (next + 1) % count;
		}
		ready = epoll_wait(poll_fd, events, 256, 1);
		for (int index = 0; index < ready; index++)
			receive(events[index].data.u32);
		now = now_ms();
		while (queue_head != queue_tail) {
			struct request *request = &queue[queue_head % QUEUE_SIZE];
			struct client *client = &clients[request->client];

			if (client->waiting && client->sequence == request->sequence) {
				if (client->deadline > now)
					break;
				finish(client);
				lost++;
			}
			queue_head++;
		}
		if (!told && first_round >= count) {
			puts("ready");
			fflush(stdout);
			told = 1;
			paced_from = sent;
			ready_at = now;
		}
	}
	printf("{\"answersOf\":{");
	print_numbers(answers_of);
	printf("},\"sent\":%ld,\"answered\":%ld,\"lost\":%ld,\"wrong\":%ld,\"late\":%ld,\"moved\":%ld,\"elapsedMs\":%.1f,\"byBackend\":{",
	       sent, answered, lost, wrong, late, moved, now_ms() - start);
	print_numbers(by_backend);
	puts("}}");
	return 0;
}
