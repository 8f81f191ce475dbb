// Generated from the BTF of build/traffic.bpf.o by scripts/gen_bpf_layout.ts; do not edit.

/** `enum traffic_limit` */
export const LIMIT = {
  PORTS: 8,
  PORTS_PER_ADDRESS: 32768,
} as const;

/** Byte offsets in `struct traffic_parameters`. */
export const PARAMETERS = {
  size: 80,
  ifindex: 0,
  flows: 4,
  portCount: 8,
  ipOffset: 12,
  isIpv6: 16,
  hasChecksum: 20,
  hasSequence: 24,
  sourceAddress: 28,
  ipSum: 32,
  udpSum: 36,
  sourcePort: 40,
  ports: 42,
  burst: 60,
  burstNs: 64,
} as const;

/** Byte offsets in `struct traffic_sent`. */
export const SENT = {
  size: 72,
  frames: 0,
  refused: 64,
} as const;
