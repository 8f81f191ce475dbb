/*
 * Prints what the C headers say about the names in LAYOUT_ENTRIES, a file that uapi_test.ts writes with one line for
 * every entry of the tables in src/ffi: as JSON, { "TABLE.key": number, ... }.
 */
#define _GNU_SOURCE
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <linux/membarrier.h>
#include <linux/openat2.h>
#include <linux/sockios.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/udp.h>
/* after those of libc, whose names they then leave alone */
#include <linux/icmp.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#ifndef BPF_TCX_EGRESS /* Linux 6.6; an enumerator */
#define BPF_TCX_EGRESS 47
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET /* Linux 6.17; these headers are older */
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

#define SIZE_OF_FIELD(type, field) sizeof(((type *)0)->field)
#define ENTRY(key, value)                                                                     \
	do {                                                                                  \
		printf("%s\n  \"%s\": %llu", separator, key, (unsigned long long)(value)); \
		separator = ",";                                                              \
	} while (0)

int main(void)
{
	const char *separator = "";

	printf("{");
#include LAYOUT_ENTRIES
	printf("\n}\n");
	return 0;
}
