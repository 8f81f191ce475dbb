// SPDX-License-Identifier: Apache-2.0
/*
 * A backend: answers every datagram with itself, but for its first byte, which becomes this backend's number.
 *
 *   udp_backend ADDRESS PORT NUMBER
 *
 * After SIGUSR1 it says with the next datagram from how many ports there were any so far: "ports 7".
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static volatile sig_atomic_t asked;

static void on_question(int number)
{
	(void)number;
	asked = 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_storage peer;
	int is_six, fd, size = 64 << 20; /* some 50,000 small datagrams, should this program have to wait for a CPU */
	static unsigned char data[65536], seen[65536];
	int port, ports = 0;

	if (argc < 4)
		return 2;
	signal(SIGUSR1, on_question);
	is_six = strchr(argv[1], ':') != NULL;
	fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
	six.sin6_port = four.sin_port = htons(atoi(argv[2]));
	inet_pton(is_six ? AF_INET6 : AF_INET, argv[1], is_six ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, is_six ? (void *)&six : (void *)&four, is_six ? sizeof(six) : sizeof(four))) {
		perror("bind");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		socklen_t length = sizeof(peer);
		ssize_t bytes = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&peer, &length);

		if (bytes < 0)
			continue;
		port = ntohs(is_six ? ((struct sockaddr_in6 *)&peer)->sin6_port : ((struct sockaddr_in *)&peer)->sin_port);
		if (!seen[port]) {
			seen[port] = 1;
			ports++;
		}
		if (asked) {
			asked = 0;
			printf("ports %d\n", ports);
			fflush(stdout);
		}
		if (bytes > 0)
			data[0] = atoi(argv[3]);
		sendto(fd, data, bytes, 0, (struct sockaddr *)&peer, length);
	}
}
