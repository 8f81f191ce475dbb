/**
 * Constants and struct offsets of the kernel's and libc's interfaces, in their C spelling. tests/uapi compiles a C
 * program against the installed headers and fails when one of these numbers is wrong.
 *
 * @module
 */

/** Plain numbers: `#define`s and enum values. */
export const UAPI = {
  AF_UNIX: 1,
  AF_XDP: 44,
  SOCK_SEQPACKET: 5,
  SOCK_DGRAM: 2,
  SOCK_RAW: 3,
  SOCK_CLOEXEC: 0o2000000,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_CLOEXEC: 0o2000000,
  O_NOCTTY: 0o400,
  O_NONBLOCK: 0o4000,
  O_PATH: 0o10000000,
  RESOLVE_BENEATH: 8,
  RESOLVE_NO_MAGICLINKS: 2,
  LOCK_EX: 2,
  LOCK_NB: 4,
  TFD_NONBLOCK: 0o4000,
  TFD_CLOEXEC: 0o2000000,
  PR_SET_DUMPABLE: 4,
  SIGUSR1: 10,
  SIGXFSZ: 25,
  SOL_SOCKET: 1,
  SO_ERROR: 4,
  SO_PEERCRED: 17,
  SCM_RIGHTS: 1,
  SOL_XDP: 283,
  XDP_MMAP_OFFSETS: 1,
  XDP_RX_RING: 2,
  XDP_TX_RING: 3,
  XDP_UMEM_REG: 4,
  XDP_UMEM_FILL_RING: 5,
  XDP_UMEM_COMPLETION_RING: 6,
  XDP_STATISTICS: 7,
  XDP_OPTIONS: 8,
  XDP_MAX_TX_SKB_BUDGET: 9,
  XDP_OPTIONS_ZEROCOPY: 1,
  XDP_SHARED_UMEM: 1,
  XDP_COPY: 2,
  XDP_ZEROCOPY: 4,
  XDP_USE_NEED_WAKEUP: 8,
  XDP_RING_NEED_WAKEUP: 1,
  XDP_PACKET_HEADROOM: 256,
  XDP_PGOFF_RX_RING: 0,
  XDP_PGOFF_TX_RING: 0x80000000,
  XDP_UMEM_PGOFF_FILL_RING: 0x100000000,
  XDP_UMEM_PGOFF_COMPLETION_RING: 0x180000000,
  XDP_FLAGS_SKB_MODE: 2,
  XDP_FLAGS_DRV_MODE: 4,
  XDP_FLAGS_HW_MODE: 8,
  XDP_ATTACHED_NONE: 0,
  XDP_ATTACHED_DRV: 1,
  XDP_ATTACHED_SKB: 2,
  XDP_ATTACHED_HW: 3,
  XDP_ATTACHED_MULTI: 4,
  BPF_XDP: 37,
  BPF_TCX_EGRESS: 47,
  BPF_NOEXIST: 1,
  BPF_EXIST: 2,
  BPF_MAP_TYPE_ARRAY: 2,
  BPF_F_MMAPABLE: 1024,
  BPF_F_INNER_MAP: 4096,
  BPF_PROG_TYPE_XDP: 6,
  BPF_MAP_TYPE_PERCPU_ARRAY: 6,
  BPF_MAP_TYPE_LRU_HASH: 9,
  BPF_TC_EGRESS: 2,
  BPF_LINK_TYPE_XDP: 6,
  BPF_F_TEST_XDP_LIVE_FRAMES: 2,
  PROT_READ: 1,
  PROT_WRITE: 2,
  MAP_SHARED: 1,
  MAP_PRIVATE: 2,
  MAP_ANONYMOUS: 0x20,
  MAP_POPULATE: 0x8000,
  MFD_CLOEXEC: 1,
  F_DUPFD_CLOEXEC: 1030,
  F_SETFD: 2,
  FD_CLOEXEC: 1,
  PRIO_PROCESS: 0,
  MSG_DONTWAIT: 0x40,
  MSG_NOSIGNAL: 0x4000,
  MSG_CTRUNC: 8,
  MSG_CMSG_CLOEXEC: 0x40000000,
  POLLIN: 1,
  POLLOUT: 4,
  POLLERR: 8,
  POLLHUP: 0x10,
  POLLNVAL: 0x20,
  CLOCK_REALTIME: 0,
  CLOCK_MONOTONIC: 1,
  CLOCK_BOOTTIME: 7,
  EFD_NONBLOCK: 0o4000,
  EFD_CLOEXEC: 0o2000000,
  MEMBARRIER_CMD_GLOBAL: 1,
  SIOCETHTOOL: 0x8946,
  SIOCGIFNAME: 0x8910,
  SIOCGIFFLAGS: 0x8913,
  SIOCGIFMTU: 0x8921,
  SIOCGIFHWADDR: 0x8927,
  IFF_UP: 1,
  IFF_RUNNING: 0x40,
  ARPHRD_ETHER: 1,
  ARPHRD_LOOPBACK: 772,
  ETHTOOL_GDRVINFO: 3,
  ETHTOOL_GLINK: 0xa,
  ETHTOOL_GSTRINGS: 0x1b,
  ETHTOOL_GSSET_INFO: 0x37,
  ETHTOOL_GFEATURES: 0x3a,
  ETHTOOL_GCHANNELS: 0x3c,
  ETH_SS_FEATURES: 4,
  ETH_GSTRING_LEN: 32,
} as const;

/** System call numbers, which differ between architectures (libc has no wrapper for these). */
export const SYSCALL_NUMBERS = {
  x86_64: { membarrier: 324, openat2: 437 },
  aarch64: { membarrier: 283, openat2: 437 },
} as const;

/** Flags of open(2) that differ between architectures. */
export const OPEN_FLAGS = {
  x86_64: { O_NOFOLLOW: 0o400000 },
  aarch64: { O_NOFOLLOW: 0o100000 },
} as const;

/** `struct open_how`, as long as it was at first. */
export const OPEN_HOW = { size: 24, flags: 0, mode: 8, resolve: 16 } as const;

/** `struct xdp_umem_reg` up to `flags`; every kernel since 5.4 takes this size. */
export const XDP_UMEM_REG = { size: 32, addr: 0, len: 8, chunk_size: 16, headroom: 20, flags: 24 } as const;

/** `struct sockaddr_xdp` */
export const SOCKADDR_XDP = {
  size: 16,
  sxdp_family: 0,
  sxdp_flags: 2,
  sxdp_ifindex: 4,
  sxdp_queue_id: 8,
  sxdp_shared_umem_fd: 12,
} as const;

/** `struct msghdr` on 64-bit machines. */
export const MSGHDR = {
  size: 56,
  msg_name: 0,
  msg_namelen: 8,
  msg_iov: 16,
  msg_iovlen: 24,
  msg_control: 32,
  msg_controllen: 40,
  msg_flags: 48,
} as const;

/** `struct cmsghdr` on 64-bit machines; its data follow. */
export const CMSGHDR = { size: 16, cmsg_len: 0, cmsg_level: 8, cmsg_type: 12 } as const;

/** `struct sockaddr_un` */
export const SOCKADDR_UN = { size: 110, sun_family: 0, sun_path: 2 } as const;

/** `struct xdp_ring_offset`: four u64. */
export const XDP_RING_OFFSET = { size: 32, producer: 0, consumer: 8, desc: 16, flags: 24 } as const;

/** `struct xdp_mmap_offsets`: four `xdp_ring_offset`. */
export const XDP_MMAP_OFFSETS = { size: 128, rx: 0, tx: 32, fr: 64, cr: 96 } as const;

/** `struct xdp_desc` */
export const XDP_DESC = { size: 16, addr: 0, len: 8, options: 12 } as const;

/** `struct xdp_statistics`: six u64. */
export const XDP_STATISTICS = {
  size: 48,
  rx_dropped: 0,
  rx_invalid_descs: 8,
  tx_invalid_descs: 16,
  rx_ring_full: 24,
  rx_fill_ring_empty_descs: 32,
  tx_ring_empty_descs: 40,
} as const;

/** `struct pollfd` */
export const POLLFD = { size: 8, fd: 0, events: 4, revents: 6 } as const;

/** `struct timespec` on 64-bit machines. */
export const TIMESPEC = { size: 16, tv_sec: 0, tv_nsec: 8 } as const;

/** `struct sigaction` of glibc. */
export const SIGACTION = { size: 152, sa_handler: 0, sa_mask: 8, sa_flags: 136 } as const;

/** `struct ifreq` with a pointer to the request's own data. */
export const IFREQ = { size: 40, ifr_name: 0, ifr_data: 16 } as const;

/** `struct ethtool_drvinfo`: the field read. */
export const ETHTOOL_DRVINFO = { size: 196, cmd: 0, driver: 4 } as const;

/** `struct ethtool_value`: one number. */
export const ETHTOOL_VALUE = { size: 8, cmd: 0, data: 4 } as const;

/** `struct ethtool_channels`: how many queues there may be, and how many there are. */
export const ETHTOOL_CHANNELS = {
  size: 36,
  cmd: 0,
  max_combined: 16,
  rx_count: 20,
  combined_count: 32,
} as const;

/** `struct ethtool_sset_info`; the size of each set asked for, u32, follows. */
export const ETHTOOL_SSET_INFO = { size: 16, cmd: 0, sset_mask: 8 } as const;

/** `struct ethtool_gstrings`; the strings follow, ETH_GSTRING_LEN bytes each. */
export const ETHTOOL_GSTRINGS = { size: 12, cmd: 0, string_set: 4, len: 8 } as const;

/** `struct ethtool_gfeatures`; blocks of 32 features follow. */
export const ETHTOOL_GFEATURES = { size: 8, cmd: 0, blocks: 4 } as const;

/** `struct ethtool_get_features_block`: one bit per feature in each field. */
export const ETHTOOL_GET_FEATURES_BLOCK = {
  size: 16,
  available: 0,
  requested: 4,
  active: 8,
  never_changed: 12,
} as const;

/** `struct bpf_prog_info`: the fields read. */
export const BPF_PROG_INFO = { id: 4, jited_prog_len: 16, name: 64, nameBytes: 16, sizeAtLeast: 80 } as const;

/** `struct bpf_link_info`: what all links have, and the interface of an XDP link. */
export const BPF_LINK_INFO = { type: 0, id: 4, prog_id: 8, xdp_ifindex: 16 } as const;

/** libbpf's `struct bpf_xdp_query_opts` */
export const BPF_XDP_QUERY_OPTS = {
  size: 32,
  sz: 0,
  prog_id: 8,
  drv_prog_id: 12,
  hw_prog_id: 16,
  skb_prog_id: 20,
  attach_mode: 24,
} as const;

/** libbpf's `struct bpf_link_create_opts` up to `flags`; libbpf takes a missing tail as zero. */
export const BPF_LINK_CREATE_OPTS = { size: 16, sz: 0, flags: 8 } as const;

/** libbpf's `struct bpf_tc_hook` */
export const BPF_TC_HOOK = { size: 24, sz: 0, ifindex: 8, attach_point: 12, parent: 16 } as const;

/** libbpf's `struct bpf_tc_opts` */
export const BPF_TC_OPTS = { size: 32, sz: 0, prog_fd: 8, flags: 12, prog_id: 16, handle: 20, priority: 24 } as const;

/** libbpf's `struct bpf_map_create_opts` up to and with `map_flags` */
export const BPF_MAP_CREATE_OPTS = { size: 32, sz: 0, map_flags: 28 } as const;

/** libbpf's `struct bpf_test_run_opts` */
export const BPF_TEST_RUN_OPTS = {
  size: 80,
  sz: 0,
  data_in: 8,
  data_out: 16,
  data_size_in: 24,
  data_size_out: 28,
  ctx_in: 32,
  ctx_out: 40,
  ctx_size_in: 48,
  ctx_size_out: 52,
  retval: 56,
  repeat: 60,
  duration: 64,
  flags: 68,
  cpu: 72,
  batch_size: 76,
} as const;
