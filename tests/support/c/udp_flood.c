// SPDX-License-Identifier: Apache-2.0
/*
 * A flood from made-up sources: UDP packets to one service at a steady rate, each from a random address and port.
 *
 *   udp_flood INTERFACE SOURCE_MAC DESTINATION_MAC ADDRESS PORT PACKETS_PER_SECOND COUNT REPEATS
 *
 * Each source sends REPEATS packets in a row, some milliseconds apart. Prints "ready", then how many were sent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#define PAYLOAD 18
/* Sources that wait to send again. */
#define AGAIN 64

static unsigned char frame[128];
static unsigned long long state;

static unsigned int next_random(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return state >> 32;
}

static unsigned int add(unsigned int sum, const unsigned char *data, int bytes)
{
	for (int at = 0; at < bytes; at += 2)
		sum += data[at] << 8 | (at + 1 < bytes ? data[at + 1] : 0);
	return sum;
}

static void store(unsigned char *at, unsigned int sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	at[0] = ~sum >> 8;
	at[1] = ~sum;
}

/* Writes a source's packet. @return the length of its frame. */
static int build(const char *address, int port, unsigned int source, int source_port)
{
	int is_six = strchr(address, ':') != NULL;
	unsigned char *ip = frame + ETH_HLEN, *udp = ip + (is_six ? 40 : 20);
	int udp_bytes = 8 + PAYLOAD;
	unsigned int sum;

	memset(ip, 0, sizeof(frame) - ETH_HLEN);
	frame[12] = is_six ? 0x86 : 0x08;
	frame[13] = is_six ? 0xdd : 0x00;
	udp[0] = source_port >> 8;
	udp[1] = source_port;
	udp[2] = port >> 8;
	udp[3] = port;
	udp[5] = udp_bytes;
	if (is_six) {
		ip[0] = 0x60;
		ip[5] = udp_bytes;
		ip[6] = 17;
		ip[7] = 64;
		ip[8] = 0xfd;
		ip[9] = 0x99;
		memcpy(ip + 20, &source, 4);
		inet_pton(AF_INET6, address, ip + 24);
		sum = add(udp_bytes + 17, ip + 8, 32);
	} else {
		ip[0] = 0x45;
		ip[3] = 20 + udp_bytes;
		ip[8] = 64;
		ip[9] = 17;
		memcpy(ip + 12, &source, 4);
		ip[12] = 20 + ip[12] % 80; /* a single host's, and none of this network */
		inet_pton(AF_INET, address, ip + 16);
		store(ip + 10, add(0, ip, 20));
		sum = add(udp_bytes + 17, ip + 12, 8);
	}
	store(udp + 6, add(sum, udp, udp_bytes));
	return ETH_HLEN + (is_six ? 40 : 20) + udp_bytes;
}

int main(int argc, char **argv)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET };
	struct { unsigned int source; int port; } again[AGAIN];
	long count, sent = 0, failed = 0;
	double interval_ns;
	struct timespec start;
	int fd, repeats;

	if (argc != 9)
		return 2;
	for (int byte = 0; byte < 6; byte++) {
		frame[byte] = strtol(argv[3] + 3 * byte, NULL, 16);
		frame[6 + byte] = strtol(argv[2] + 3 * byte, NULL, 16);
	}
	interval_ns = 1e9 / atof(argv[6]);
	count = atol(argv[7]);
	repeats = atoi(argv[8]);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	to.sll_ifindex = if_nametoindex(argv[1]);
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) ||
	    getrandom(&state, sizeof(state), 0) != sizeof(state)) {
		perror("udp_flood");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long number = 0; sent < count; number++) {
		int slot = number % AGAIN, turn = number / AGAIN % repeats;
		struct timespec now;
		double due_ns = number * interval_ns;
		int length;

		if (turn == 0) {
			again[slot].source = next_random();
			again[slot].port = 1024 + next_random() % 60000;
		}
		length = build(argv[4], atoi(argv[5]), again[slot].source, again[slot].port);
		clock_gettime(CLOCK_MONOTONIC, &now);
		due_ns -= (now.tv_sec - start.tv_sec) * 1e9 + (now.tv_nsec - start.tv_nsec);
		if (due_ns > 1e6)
			nanosleep(&(struct timespec){ due_ns / 1e9, (long)due_ns % 1000000000 }, NULL);
		if (send(fd, frame, length, 0) == length)
			sent++;
		else if (errno != ENOBUFS || ++failed > count)
			break;
	}
	printf("%ld\n", sent);
	return sent == count ? 0 : 1;
}
