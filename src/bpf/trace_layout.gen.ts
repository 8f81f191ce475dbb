// Generated from the BTF of build/trace.bpf.o by scripts/gen_bpf_layout.ts; do not edit.

/** Byte offsets in `struct trace_event`. */
export const EVENT = {
  size: 48,
  timeNs: 0,
  count: 8,
  kind: 16,
  code: 20,
  interface: 24,
  slot: 28,
  cpu: 32,
  mapId: 36,
  index: 40,
} as const;

/** `enum trace_kind` */
export const KIND = {
  EXCEPTION: 0,
  REDIRECT_ERR: 1,
} as const;

/** `enum trace_limit` */
export const LIMIT = {
  INTERFACES: 64,
  ACTS: 16,
  OWN: 256,
  SLOTS: 512,
  EVENTS_BYTES: 65536,
} as const;

/** Byte offsets in `struct trace_parameters`. */
export const PARAMETERS = {
  size: 576,
  netns: 0,
  interfaces: 4,
  ifindexes: 8,
  mapIds: 264,
} as const;
