// SPDX-License-Identifier: Apache-2.0
/* The plain alternative: a kernel UDP socket and a loop. kernel_echo PORT [CPU] */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0) }, peer;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char data[2048];

	if (argc > 2) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(atoi(argv[2]), &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		socklen_t length = sizeof(peer);
		ssize_t bytes = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&peer, &length);

		if (bytes >= 0)
			sendto(fd, data, bytes, 0, (struct sockaddr *)&peer, length);
	}
}
