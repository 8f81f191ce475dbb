// Generated from the BTF of build/steer.bpf.o by scripts/gen_bpf_layout.ts; do not edit.

/** `enum steer_action` */
export const ACTION = {
  NONE: 0,
  PASS: 1,
  DROP: 2,
  DELIVER: 3,
  REDIRECT: 4,
  SPREAD: 5,
} as const;

/** `enum steer_address_flag` */
export const ADDRESS_FLAG = {
  HASHED: 1,
  IPV4_PREFIXES: 2,
  IPV6_PREFIXES: 4,
} as const;

/** Byte offsets in `struct steer_address_key`. */
export const ADDRESS_KEY = {
  size: 20,
  table: 0,
  family: 2,
  address: 4,
} as const;

/** `enum steer_address_set` */
export const ADDRESS_SET = {
  OWN: 0,
  ANY: 1,
  LISTS: 2,
  MARTIAN: 63,
} as const;

/** Byte offsets in `struct steer_addresses`. */
export const ADDRESSES = {
  size: 512,
  ipv4Masks: 0,
  ipv6Masks: 32,
  sourceFilter: 64,
  ipv4: 192,
  ipv6: 208,
  flags: 272,
} as const;

/** Byte offsets in `struct steer_ban_request`. */
export const BAN_REQUEST = {
  size: 24,
  limit: 0,
  family: 4,
  address: 8,
} as const;

/** Byte offsets in `struct steer_control`. */
export const CONTROL = {
  size: 4224,
  activeTable: 0,
  generation: 4,
  sourceTable: 8,
  countsSources: 16,
  keepsClients: 20,
  wantedTable: 24,
  deadman: 64,
  heartbeats: 128,
} as const;

/** Byte offsets in `struct steer_deadman`. */
export const DEADMAN = {
  size: 16,
  on: 0,
  times: 4,
  nanoseconds: 8,
} as const;

/** Byte offsets in `struct steer_delivery`. */
export const DELIVERY = {
  size: 4,
  port: 0,
  rule: 2,
} as const;

/** Byte offsets in `struct steer_device`. */
export const DEVICE = {
  size: 520,
  flags: 0,
  macCount: 4,
  macs: 8,
} as const;

/** `enum steer_device_flag` */
export const DEVICE_FLAG = {
  LOOPBACK: 1,
} as const;

/** Byte offsets in `struct steer_event`. */
export const EVENT = {
  size: 48,
  timeNs: 0,
  count: 8,
  kind: 16,
  reason: 20,
  ifindex: 24,
  queue: 28,
  length: 32,
  port: 36,
  cpu: 40,
} as const;

/** `enum steer_event_kind` */
export const EVENT_KIND = {
  MALFORMED: 0,
  UNCOVERED_QUEUE: 1,
  COUNT: 2,
} as const;

/** Byte offsets in `struct steer_event_limit`. */
export const EVENT_LIMIT = {
  size: 24,
  lastNs: 0,
  tick: 8,
  count: 16,
} as const;

/** Byte offsets in `struct steer_flow`. */
export const FLOW = {
  size: 40,
  client: 0,
  local: 16,
  clientPort: 32,
  localPort: 34,
  family: 36,
} as const;

/** Byte offsets in `struct steer_guard_counters`. */
export const GUARD_COUNTERS = {
  size: 40,
  denied: 0,
  banned: 8,
  limited: 16,
  observed: 24,
  overTotal: 32,
} as const;

/** `enum steer_guard_flag` */
export const GUARD_FLAG = {
  BANS: 1,
} as const;

/** Byte offsets in `struct steer_heartbeat`. */
export const HEARTBEAT = {
  size: 64,
  turns: 0,
} as const;

/** Byte offsets in `struct steer_ipv4_ban`. */
export const IPV4_BAN = {
  size: 12,
  length: 0,
  scope: 4,
  address: 8,
} as const;

/** Byte offsets in `struct steer_ipv4_node`. */
export const IPV4_NODE = {
  size: 64,
  keys: 0,
  classes: 32,
} as const;

/** Byte offsets in `struct steer_ipv4_prefix`. */
export const IPV4_PREFIX = {
  size: 12,
  length: 0,
  table: 4,
  address: 8,
} as const;

/** Byte offsets in `struct steer_ipv6_ban`. */
export const IPV6_BAN = {
  size: 24,
  length: 0,
  scope: 4,
  address: 8,
} as const;

/** Byte offsets in `struct steer_ipv6_node`. */
export const IPV6_NODE = {
  size: 128,
  keys: 0,
  entries: 64,
} as const;

/** Byte offsets in `struct steer_ipv6_prefix`. */
export const IPV6_PREFIX = {
  size: 24,
  length: 0,
  table: 4,
  address: 8,
} as const;

/** Byte offsets in `struct steer_kept`. */
export const KEPT = {
  size: 8208,
  ports: 0,
  key: 8192,
  setMask: 8200,
  rule: 8204,
} as const;

/** Byte offsets in `struct steer_kept_set`. */
export const KEPT_SET = {
  size: 128,
  tags: 0,
  rows: 64,
} as const;

/** `enum steer_kept_tag` */
export const KEPT_TAG = {
  WORKER: 63,
  TAKEN: 1073741824,
} as const;

/** `enum steer_limit` */
export const LIMIT = {
  PORTS: 65536,
  TABLES: 2,
  NO_TABLE: 2,
  PORT_TABLES: 3,
  HEARTBEATS: 64,
  RULE_SLOTS: 8320,
  EVENTS_BYTES: 65536,
  MORE_ENTRIES: 16384,
  INLINE_ADDRESSES: 4,
  ADDRESSES: 65536,
  SOURCE_WORDS: 16,
  MACS: 64,
  SOURCE_TABLES: 4,
  NODE_KEYS: 15,
  RULE_ROOM: 16384,
  SENDER_SETS: 512,
  SENDER_WAYS: 8,
  FLOWS: 65536,
  LIMITS: 1024,
  SOURCE_SETS: 32768,
  SET_PLACES: 8,
  TIME_SHIFT: 8,
  BYTE_SHIFT: 16,
  BANS: 65536,
  KEPT_PLACES: 16,
} as const;

/** Byte offsets in `struct steer_parameters`. */
export const PARAMETERS = {
  size: 1096,
  workerCount: 0,
  sourceKey: 8,
} as const;

/** Byte offsets in `struct steer_port_entry`. */
export const PORT_ENTRY = {
  size: 8,
  rule: 0,
  worker: 2,
  action: 3,
  flags: 4,
  addresses: 5,
  next: 6,
} as const;

/** `enum steer_port_flag` */
export const PORT_FLAG = {
  ERRORS: 1,
  DROP_FRAGMENTS: 2,
  GUARDED: 4,
} as const;

/** `enum steer_reason` */
export const REASON = {
  STEERED: 0,
  RULE_DROP: 1,
  RULE_PASS: 2,
  UNLISTED_PORT: 3,
  NOT_IP: 4,
  NOT_UDP: 5,
  FRAGMENT: 6,
  TRUNCATED: 7,
  BAD_LENGTH: 8,
  IPV6_EXTENSIONS: 9,
  UNCOVERED_QUEUE: 10,
  FRAGMENT_DROPPED: 11,
  OTHER_ADDRESS: 12,
  OTHER_MAC: 13,
  MARTIAN_SOURCE: 14,
  BAD_IP_CHECKSUM: 15,
  DENIED: 16,
  BANNED: 17,
  LIMITED: 18,
  DELIVERED: 19,
  IP_OPTIONS: 20,
  DEADMAN: 21,
  COUNT: 22,
} as const;

/** Byte offsets in `struct steer_rule_counters`. */
export const RULE_COUNTERS = {
  size: 88,
  redirectedPackets: 0,
  redirectedBytes: 8,
  droppedPackets: 16,
  droppedBytes: 24,
  passedPackets: 32,
  passedBytes: 40,
  deliveredPackets: 48,
  deliveredBytes: 56,
  answeredPackets: 64,
  answeredBytes: 72,
  fragmentPackets: 80,
} as const;

/** Byte offsets in `struct steer_rule_guard`. */
export const RULE_GUARD = {
  size: 16,
  policies: 0,
  limit: 8,
  bans: 10,
  flags: 12,
} as const;

/** Byte offsets in `struct steer_rule_limit`. */
export const RULE_LIMIT = {
  size: 128,
  sourcePacket: 0,
  sourcePackets: 8,
  sourceByte: 16,
  sourceBytes: 24,
  totalPacket: 32,
  totalPackets: 40,
  totalByte: 48,
  totalBytes: 56,
  ipv6Mask: 64,
  ipv4Mask: 72,
  identity: 76,
  flags: 80,
} as const;

/** `enum steer_rule_limit_flag` */
export const RULE_LIMIT_FLAG = {
  BAN: 1,
  OBSERVE: 2,
} as const;

/** Byte offsets in `struct steer_sender`. */
export const SENDER = {
  size: 40,
  prefix: 0,
  rule: 8,
  family: 12,
  packets: 16,
  inherited: 24,
  bytes: 32,
} as const;

/** Byte offsets in `struct steer_sender_set`. */
export const SENDER_SET = {
  size: 320,
  senders: 0,
} as const;

/** `enum steer_source_entry` */
export const SOURCE_ENTRY = {
  LINE: 536870911,
  INNER: 536870912,
  NEXT: 536870912,
  NODE: 1073741824,
} as const;

/** Byte offsets in `struct steer_source_set`. */
export const SOURCE_SET = {
  size: 256,
  places: 0,
  bytes: 128,
  asked: 192,
  sharedPackets: 224,
  sharedBytes: 232,
} as const;

/** Byte offsets in `struct steer_source_table`. */
export const SOURCE_TABLE = {
  size: 16,
  ipv4Shift: 0,
  ipv4Masks: 4,
  ipv6Shift: 8,
  ipv6Masks: 12,
} as const;

/** Byte offsets in `struct steer_total`. */
export const TOTAL = {
  size: 64,
  packets: 0,
  bytes: 8,
} as const;

/** `enum steer_verdict` */
export const VERDICT = {
  DROP: 1,
  PASS: 2,
  REDIRECT: 4,
} as const;

/** `enum steer_verdict_of` */
export const VERDICT_OF = {
  STEERED: 4,
  RULE_DROP: 1,
  RULE_PASS: 2,
  UNLISTED_PORT: 2,
  NOT_IP: 2,
  NOT_UDP: 2,
  FRAGMENT: 2,
  TRUNCATED: 2,
  BAD_LENGTH: 2,
  IPV6_EXTENSIONS: 2,
  UNCOVERED_QUEUE: 2,
  FRAGMENT_DROPPED: 1,
  OTHER_ADDRESS: 2,
  OTHER_MAC: 2,
  MARTIAN_SOURCE: 2,
  BAD_IP_CHECKSUM: 2,
  DENIED: 1,
  BANNED: 1,
  LIMITED: 1,
  DELIVERED: 2,
  IP_OPTIONS: 2,
  DEADMAN: 2,
} as const;

/** Byte offsets in `struct steer_xdp_counters`. */
export const XDP_COUNTERS = {
  size: 176,
  byReason: 0,
} as const;
