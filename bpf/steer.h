/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the XDP program and userspace share. TypeScript learns sizes, offsets and enum values from this object's BTF
 * (scripts/gen_bpf_layout.ts writes src/bpf/layout.gen.ts); nothing here is typed a second time by hand.
 */
#ifndef XDPSTEER_STEER_H
#define XDPSTEER_STEER_H

#include <linux/bpf.h>
#include <linux/types.h>

enum steer_limit {
	STEER_PORTS = 65536,
	STEER_TABLES = 2,      /* one in force, one being written */
	STEER_NO_TABLE = 2,    /* in their place while no worker runs: all ports unlisted, nobody writes it */
	STEER_PORT_TABLES = 3, /* with this one */
	STEER_HEARTBEATS = 64, /* most workers */
	STEER_RULE_SLOTS = 8320, /* two generations of 4,096 rules, the answers of 64 workers, and slot 0 */
	STEER_EVENTS_BYTES = 65536,
	STEER_MORE_ENTRIES = 16384, /* entries of ports that have more than one rule, and index 0, which is none */
	STEER_INLINE_ADDRESSES = 4, /* of each IP version, compared without a look-up */
	STEER_ADDRESSES = 65536,    /* most addresses, and most prefixes of each IP version, of both tables */
	STEER_SOURCE_WORDS = 16,    /* of 64 bits */
	STEER_MACS = 64,
	STEER_SOURCE_TABLES = 4,    /* one in force, two being written, one being given back */
	STEER_NODE_KEYS = 15,
	STEER_RULE_ROOM = 16384, /* rule slots, to the next power of two */
	STEER_SENDER_SETS = 512, /* of each CPU */
	STEER_SENDER_WAYS = 8,
	STEER_FLOWS = 65536,     /* clients that deliveries are remembered of */
	STEER_LIMITS = 1024,        /* rules with limits, and number 0, which is none */
	STEER_SOURCE_SETS = 32768,  /* of sources that are being counted */
	STEER_SET_PLACES = 8,
	STEER_TIME_SHIFT = 8,       /* buckets count in 1/256 ns */
	STEER_BYTE_SHIFT = 16,      /* and bytes cost 1/65536 of these */
	STEER_BANS = 65536,         /* most bans of each IP version */
	STEER_KEPT_PLACES = 16,     /* of each set of sessions whose clients keep their addresses */
};

/* What the tag of such a session has besides a part of a hash: bits. */
enum steer_kept_tag {
	STEER_KEPT_WORKER = 63,     /* who has the session */
	STEER_KEPT_TAKEN = 1 << 30, /* in each: an unused place is 0 */
};

/* What an entry of the lists of sources is: a class, or with NODE the line of a node. Bits. */
enum steer_source_entry {
	STEER_SOURCE_LINE = 0x1fffffff,
	STEER_SOURCE_INNER = 1 << 29, /* IPv4: its children are nodes */
	STEER_SOURCE_NEXT = 1 << 29,  /* IPv6: its keys are the next 32 bits of the address */
	STEER_SOURCE_NODE = 1 << 30,
};

/* Sets of destination addresses, by their number in a port's entry: a bit in an address's mask, but for ANY. */
enum steer_address_set {
	STEER_ADDRESS_SET_OWN = 0,     /* this box's unicast addresses */
	STEER_ADDRESS_SET_ANY = 1,     /* whatever the address is */
	STEER_ADDRESS_SET_LISTS = 2,   /* the first set that a rule lists */
	STEER_ADDRESS_SET_MARTIAN = 63 /* IPv4 addresses that are nobody else's source: own ones and broadcasts */
};

/* What the addresses of a table need besides the inline ones: bits. */
enum steer_address_flag {
	STEER_ADDRESS_FLAG_HASHED = 1,  /* some are in address_masks */
	STEER_ADDRESS_FLAG_IPV4_PREFIXES = 2,
	STEER_ADDRESS_FLAG_IPV6_PREFIXES = 4,
};

enum steer_device_flag {
	STEER_DEVICE_FLAG_LOOPBACK = 1, /* packets from the box to itself */
};

/* What a port's entry says. NONE is an unlisted port: all zero. */
enum steer_action {
	STEER_ACTION_NONE = 0,
	STEER_ACTION_PASS = 1,
	STEER_ACTION_DROP = 2,
	STEER_ACTION_DELIVER = 3,  /* to the kernel stack, on the port that delivery_ports has for the rule */
	STEER_ACTION_REDIRECT = 4, /* to the worker named in the entry; this and what follows */
	STEER_ACTION_SPREAD = 5,   /* to a worker chosen by flow hash */
};

/* What else a port's entry says: bits. */
enum steer_port_flag {
	STEER_PORT_FLAG_ERRORS = 1,         /* ICMP errors about packets from this port go to its worker */
	STEER_PORT_FLAG_DROP_FRAGMENTS = 2, /* first fragments to this port are dropped */
	STEER_PORT_FLAG_GUARDED = 4,        /* struct steer_rule_guard says who may send */
};

/* What the program returns, by the kernel's numbers. */
enum steer_verdict {
	STEER_VERDICT_DROP = XDP_DROP,
	STEER_VERDICT_PASS = XDP_PASS,
	STEER_VERDICT_REDIRECT = XDP_REDIRECT,
};

/*
 * Why a packet got its verdict, and which verdict that is. Every packet has exactly one reason. New ones go last.
 * Their words for operators are in src/observe/vocabulary.ts.
 */
#define STEER_REASONS(REASON) \
	REASON(STEERED, REDIRECT) \
	REASON(RULE_DROP, DROP) \
	REASON(RULE_PASS, PASS) \
	REASON(UNLISTED_PORT, PASS) \
	REASON(NOT_IP, PASS)          /* ARP, LLDP, more than two VLAN tags, ... */ \
	REASON(NOT_UDP, PASS) \
	REASON(FRAGMENT, PASS) \
	REASON(TRUNCATED, PASS)       /* the frame ends before its headers do */ \
	REASON(BAD_LENGTH, PASS)      /* a length field contradicts the frame */ \
	REASON(IPV6_EXTENSIONS, PASS) /* more extension headers than are walked, or a source route */ \
	REASON(UNCOVERED_QUEUE, PASS) /* no socket for this queue: the kernel stack gets the packet */ \
	REASON(FRAGMENT_DROPPED, DROP) /* a first fragment to a listed port, which the kernel stack would refuse */ \
	REASON(OTHER_ADDRESS, PASS)   /* for a listed port, but no rule of it has the destination address */ \
	REASON(OTHER_MAC, PASS)       /* for a listed port, in a frame for somebody else */ \
	REASON(MARTIAN_SOURCE, PASS)  /* for a listed port, from an address that nobody can have sent it from */ \
	REASON(BAD_IP_CHECKSUM, PASS) /* for a listed port, with a wrong checksum of the IPv4 header */ \
	REASON(DENIED, DROP)          /* lists say that the source may not send to the rule */ \
	REASON(BANNED, DROP)          /* the source is banned */ \
	REASON(LIMITED, DROP)         /* the source, or all together, send more than the rule allows */ \
	REASON(DELIVERED, PASS)       /* a rule delivers it to a local program, on another port */ \
	REASON(IP_OPTIONS, PASS)      /* for a listed port, with options that the kernel may not take */ \
	REASON(DEADMAN, PASS)         /* for a listed port, while no worker runs */

enum steer_reason {
#define STEER_REASON_VALUE(name, verdict) STEER_REASON_##name,
	STEER_REASONS(STEER_REASON_VALUE)
	STEER_REASON_COUNT,
};

/* For TypeScript: the verdict of each reason. */
enum steer_verdict_of {
#define STEER_VERDICT_OF_VALUE(name, verdict) STEER_VERDICT_OF_##name = STEER_VERDICT_##verdict,
	STEER_REASONS(STEER_VERDICT_OF_VALUE)
};

/* A bit for each reason to drop. */
#define STEER_DROP_BIT(name, verdict) | (__u64)(STEER_VERDICT_##verdict == STEER_VERDICT_DROP) << STEER_REASON_##name
#define STEER_DROP_REASONS (0ULL STEER_REASONS(STEER_DROP_BIT))
_Static_assert(STEER_REASON_COUNT <= 64, "STEER_DROP_REASONS has a bit for each reason");

/* What userspace is told of. New ones go last; what the log says is in src/engine/kernel_events.ts. */
enum steer_event_kind {
	STEER_EVENT_MALFORMED,
	STEER_EVENT_UNCOVERED_QUEUE,
	STEER_EVENT_COUNT,
};

/* One of the 65,536 ports, or of the further rules of one. */
struct steer_port_entry {
	__u16 rule;   /* slot of rule_counters; also the worker's rule id */
	__u8 worker;
	__u8 action;  /* enum steer_action */
	__u8 flags;   /* enum steer_port_flag */
	__u8 addresses; /* enum steer_address_set */
	__u16 next;   /* index in more_entries of the port's next rule, 0 for none */
} __attribute__((aligned(8)));

/*
 * The addresses that packets can be for, of one table. A mask has a bit for each set that the address is in. IPv4
 * addresses as they are in a packet; unused places are all zero.
 */
struct steer_addresses {
	__u64 ipv4_masks[STEER_INLINE_ADDRESSES];
	__u64 ipv6_masks[STEER_INLINE_ADDRESSES];
	/* A bit for each hash that is_plain_source() makes of a martian source. */
	__u64 source_filter[STEER_SOURCE_WORDS];
	__be32 ipv4[STEER_INLINE_ADDRESSES];
	__be32 ipv6[4 * STEER_INLINE_ADDRESSES];
	__u32 flags; /* enum steer_address_flag */
} __attribute__((aligned(512))); /* the index of a table is a shift */

/* Key of address_masks. An IPv4 address is in the first word, family 4. */
struct steer_address_key {
	__u16 table;
	__u16 family;
	__be32 address[4];
};

/* Keys of the prefixes; the length counts the bits of the table, too. */
struct steer_ipv4_prefix {
	__u32 length;
	__u32 table;
	__be32 address[1];
};

struct steer_ipv6_prefix {
	__u32 length;
	__u32 table;
	__be32 address[4];
};

/* The device that packets come by: Ethernet addresses that are the box's own there. None: all are. */
struct steer_device {
	__u32 flags; /* enum steer_device_flag */
	__u32 mac_count;
	__u64 macs[STEER_MACS]; /* two zero bytes, then the address, as a little-endian number; unused ones are 0 */
};

/* Of a worker: what it counts up at each turn of its loop. A cache line. */
struct steer_heartbeat {
	__u32 turns;
	__u32 reserved[15];
};

/* Whether everything passes since no worker runs, as the program of deadman.bpf.c says. */
struct steer_deadman {
	__u32 on;
	__u32 times; /* so far, with this one */
	__u64 nanoseconds; /* of all times */
};

/* Which half of port_to_queue_map is in force: the one word a live change flips. */
struct steer_control {
	__u32 active_table; /* wanted_table, or STEER_NO_TABLE */
	__u32 generation;
	/* By half: which lists of sources its rules mean. Lists that change on their own change this word. */
	__u32 source_table[STEER_TABLES];
	__u32 counts_sources; /* 1 while somebody asks who sends most. Read in one word with the next */
	__u32 keeps_clients;  /* 1 while there may be sessions whose clients keep their addresses */
	__u32 wanted_table; /* written before active_table */
	struct steer_deadman deadman __attribute__((aligned(64)));
	struct steer_heartbeat heartbeats[STEER_HEARTBEATS] __attribute__((aligned(64)));
};

/* How answers to clients that keep their addresses are found. */
struct steer_kept {
	__u64 ports[STEER_PORTS / 64]; /* a bit for each that they may come from */
	__u32 key[2];                  /* of the hash */
	__u32 set_mask;                /* sets there are, less one */
	__u32 rule;                    /* the slot that they count with */
};

/* Sessions by a hash of the ends that a backend sees. Workers read the rows, the program the tags. */
struct steer_kept_set {
	__u32 tags[STEER_KEPT_PLACES];
	__u32 rows[STEER_KEPT_PLACES];
};

/* A source that sends to a rule, as senders.h counts it. All zero: none. */
struct steer_sender {
	__u64 prefix;  /* as in a packet: an IPv4 address, or the first half of an IPv6 address */
	__u32 rule;
	__u32 family;  /* 4 or 6 */
	__u64 packets; /* at most so many */
	__u64 inherited; /* of these: of senders that had the place before. All others are its own */
	__u64 bytes;   /* of its own packets */
};

/* Senders whose hashes are the same. */
struct steer_sender_set {
	struct steer_sender senders[STEER_SENDER_WAYS];
};

/* Who may send to a rule, by half and slot. */
struct steer_rule_guard {
	__u64 policies; /* those whose lists are the rule's: a bit each */
	__u16 limit;    /* number of the rule's limit, 0 for none */
	__u16 bans;     /* number of the rule's own bans, 0 for none */
	__u32 flags;    /* enum steer_guard_flag */
};

enum steer_guard_flag {
	STEER_GUARD_FLAG_BANS = 1, /* there are bans for all rules */
};

/* How much a rule takes. Costs and sizes of buckets as in limit.h; a cost of 0 is no bound. */
struct steer_rule_limit {
	__u64 source_packet;
	__u64 source_packets; /* size of the bucket */
	__u64 source_byte;
	__u64 source_bytes;
	__u64 total_packet;
	__u64 total_packets;
	__u64 total_byte;
	__u64 total_bytes;
	__u64 ipv6_mask; /* of the first half of an address, as it is in a packet */
	__be32 ipv4_mask;
	__u32 identity;  /* differs from that of any rule that had the number before: at most 30 bits */
	__u32 flags;     /* enum steer_rule_limit_flag */
} __attribute__((aligned(128)));

enum steer_rule_limit_flag {
	STEER_RULE_LIMIT_FLAG_BAN = 1,     /* userspace bans sources that send more */
	STEER_RULE_LIMIT_FLAG_OBSERVE = 2, /* counts, and drops nothing */
};

/* Buckets of a rule's total. */
struct steer_total {
	__u64 packets;
	__u64 bytes;
} __attribute__((aligned(64)));

/* Sources that are being counted, by a hash. What most packets need stands in the first two cache lines. */
struct steer_source_set {
	struct {
		__u64 tag; /* whose place it is, or was; 0: nobody's */
		__u64 packets;
	} places[STEER_SET_PLACES];
	__u64 bytes[STEER_SET_PLACES];
	__u32 asked[STEER_SET_PLACES]; /* when a ban was asked for last */
	__u64 shared_packets;          /* of all sources that find no place */
	__u64 shared_bytes;
	__u64 reserved[2];
};

/* A source that is to be banned. */
struct steer_ban_request {
	__u32 limit;
	__u32 family; /* 4 or 6 */
	__be32 address[4];
};

/* Keys of bans; the length counts the bits of the scope, too. */
struct steer_ipv4_ban {
	__u32 length;
	__be32 scope; /* 0: all rules; else the number of the rule's own bans */
	__be32 address[1];
};

struct steer_ipv6_ban {
	__u32 length;
	__be32 scope;
	__be32 address[4];
};

/* By rule slot: packets by reason, and those that a guard which only observes would have dropped. */
struct steer_guard_counters {
	__u64 denied;
	__u64 banned;
	__u64 limited;
	__u64 observed;
	__u64 over_total; /* of limited and observed: over what the rule takes in total */
};

/* How to read the lines of one version of the lists. */
struct steer_source_table {
	__u32 ipv4_shift; /* from an address to its place in the index */
	__u32 ipv4_masks; /* the first line of masks */
	__u32 ipv6_shift; /* the same for the first 64 bits */
	__u32 ipv6_masks;
};

/* Starts of intervals by the last 16 bits of addresses, less one, ascending; unused ones are the largest number. */
struct steer_ipv4_node {
	__u16 keys[STEER_NODE_KEYS];
	__u16 reserved;
	__u16 classes[STEER_NODE_KEYS + 1]; /* of an inner node, the first two are an entry: the children follow it */
} __attribute__((aligned(8)));

struct steer_ipv4_line {
	union {
		__u32 index[16];
		__u64 masks[8];
		struct steer_ipv4_node node;
	};
};

/* The same by 32 bits. */
struct steer_ipv6_node {
	__u32 keys[STEER_NODE_KEYS];
	__u32 reserved;
	__u32 entries[STEER_NODE_KEYS + 1];
};

struct steer_ipv6_line {
	union {
		__u32 index[32];
		__u64 masks[16];
		struct steer_ipv6_node node;
	};
};

struct steer_rule_counters {
	__u64 redirected_packets;
	__u64 redirected_bytes;
	__u64 dropped_packets;
	__u64 dropped_bytes;
	__u64 passed_packets;
	__u64 passed_bytes;
	__u64 delivered_packets;
	__u64 delivered_bytes;
	__u64 answered_packets; /* of those delivered: what local programs sent back, counted at tc */
	__u64 answered_bytes;
	__u64 fragment_packets; /* first fragments that were dropped: beside their reason, which is no rule's */
};

/* Key of delivered_flows: a client and the local program it is delivered to. An IPv4 address is in the first word. */
struct steer_flow {
	__be32 client[4];
	__be32 local[4];
	__be16 client_port;
	__be16 local_port; /* of the program */
	__u32 family;      /* 4 or 6 */
};

/* What a client has sent to. */
struct steer_delivery {
	__be16 port; /* the listed one, from which answers are to come */
	__u16 rule;
};

/* Packets that no rule decided. What rules decided stands in steer_rule_counters, and is 0 here. */
struct steer_xdp_counters {
	__u64 by_reason[STEER_REASON_COUNT];
};

struct steer_event {
	__u64 time_ns;    /* CLOCK_MONOTONIC */
	__u64 count;      /* events of this kind on this CPU so far, with this one */
	__u32 kind;       /* enum steer_event_kind */
	__u32 reason;     /* enum steer_reason */
	__u32 ifindex;
	__u32 queue;
	__u32 length;     /* of the frame, bytes */
	__u32 port;       /* UDP destination port, 0 where none was read */
	__u32 cpu;
	__u32 reserved;
};

/* An element of event_limits, indexed by enum steer_event_kind. */
struct steer_event_limit {
	__u64 last_ns; /* when one was reported last, CLOCK_MONOTONIC */
	__u64 tick;    /* jiffy in which the clock was looked at last */
	__u64 count;   /* all there were, reported or not */
};

/* Read-only data, written by userspace before load. The only variable in .rodata, so it starts at offset 0. */
struct steer_parameters {
	__u32 worker_count;
	__u64 source_key[2]; /* of the hashes that find the places of sources: nobody who sends knows it */
	/* Never read: puts the types that no map names into the BTF, where the layout generator finds them. */
	struct {
		enum steer_limit limit;
		enum steer_action action;
		enum steer_port_flag port_flag;
		enum steer_address_set address_set;
		enum steer_address_flag address_flag;
		enum steer_device_flag device_flag;
		enum steer_source_entry source_entry;
		enum steer_guard_flag guard_flag;
		enum steer_rule_limit_flag limit_flag;
		enum steer_reason reason;
		enum steer_verdict verdict;
		enum steer_verdict_of verdict_of;
		enum steer_event_kind event_kind;
		enum steer_kept_tag kept_tag;
		struct steer_kept_set kept_set;
		struct steer_event event;
		struct steer_ban_request ban_request;
		struct steer_source_set source_set;
		struct steer_ipv4_node ipv4_node;
		struct steer_ipv6_node ipv6_node;
		struct steer_flow flow;
		struct steer_delivery delivery;
		struct steer_sender_set sender_set;
	} types_for_btf;
};

#endif
