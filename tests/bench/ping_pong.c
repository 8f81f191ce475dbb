// SPDX-License-Identifier: Apache-2.0
/*
 * A real client: sends one datagram, waits for its echo, and again. Spins on its socket, so that what is measured is
 * the other side.
 *
 *   ping_pong ADDRESS PORT COUNT CPU [INTERVAL_US]
 *
 * With INTERVAL_US it sleeps until that long after the last datagram was due, on average; without, the next one follows
 * the answer. Prints the round trips of all that were answered, in nanoseconds, as JSON. With COUNT 0 it sends a
 * datagram every millisecond, sleeping in between, until the first answer, and prints when that was: milliseconds since
 * boot.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

/* Far more than any answer takes, also where the other side has to wait for its CPU. */
#define TIMEOUT_NS 2000000000LL

static long long now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void sleep_until(long long ns)
{
	struct timespec time = { ns / 1000000000LL, ns % 1000000000LL };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static int first_answer(int fd)
{
	struct pollfd set = { .fd = fd, .events = POLLIN };
	struct timespec time;
	char reply[64];

	do {
		send(fd, "ping", 4, 0);
		poll(&set, 1, 1);
	} while (recv(fd, reply, sizeof(reply), MSG_DONTWAIT) != 4);
	clock_gettime(CLOCK_BOOTTIME, &time);
	printf("%.3f\n", time.tv_sec * 1e3 + time.tv_nsec / 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), count, got = 0;
	long long *times, interval_ns, due;
	char data[64] = "ping", reply[64];
	cpu_set_t set;

	if (argc < 5)
		return 2;
	inet_pton(AF_INET, argv[1], &address.sin_addr);
	address.sin_port = htons(atoi(argv[2]));
	count = atoi(argv[3]);
	interval_ns = argc > 5 ? atoll(argv[5]) * 1000 : 0;
	CPU_ZERO(&set);
	CPU_SET(atoi(argv[4]), &set);
	sched_setaffinity(0, sizeof(set), &set);
	times = calloc(count, sizeof(*times));
	if (fd < 0 || !times || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return 1;
	if (count == 0)
		return first_answer(fd);
	prctl(PR_SET_TIMERSLACK, 1);
	/* It stands for another machine: other threads of what it asks are not to take its CPU. */
	if (interval_ns && sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 })) {
		perror("sched_setscheduler");
		return 1;
	}
	due = now_ns();
	for (int i = 0; i < count; i++) {
		long long start = now_ns(), end;
		ssize_t bytes;

		memcpy(data + 8, &i, sizeof(i));
		send(fd, data, sizeof(data), 0);
		do {
			bytes = recv(fd, reply, sizeof(reply), MSG_DONTWAIT);
			end = now_ns();
		} while ((bytes != sizeof(reply) || memcmp(data, reply, sizeof(reply))) && end - start < TIMEOUT_NS);
		if (end - start < TIMEOUT_NS)
			times[got++] = end - start;
		/* At one interval throughout, each fourth packet would meet the kernel's tick, or none. */
		if (interval_ns)
			sleep_until(due += interval_ns / 2 + (long long)(drand48() * interval_ns));
	}
	if (got == 0)
		return 1;
	for (int i = 0; i < got; i++)
		printf("%c%lld", i == 0 ? '[' : ',', times[i]);
	puts("]");
	return 0;
}
