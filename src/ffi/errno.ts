/**
 * errno numbers, their names, and what an operator can do about each where a call is known to fail with it.
 *
 * @module
 */
import { SyscallError } from "../errors.ts";

export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ERANGE: 34,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  EISCONN: 106,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
} as const;

/**
 * By number, from 1 (asm-generic/errno-base.h, errno.h); EAGAIN and EOPNOTSUPP stand for what has two names. Not from
 * node:os, which takes every thread ten milliseconds to load.
 */
const NAMES = (
  "EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST " +
  "EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM " +
  "ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP - ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG " +
  "EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT - EBFONT ENOSTR ENODATA ETIME ENOSR ENONET " +
  "ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG " +
  "ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE " +
  "EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE " +
  "EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN " +
  "ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL " +
  "EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD " +
  "ENOTRECOVERABLE ERFKILL EHWPOISON"
).split(" ");

/** The symbolic name of an errno, `EBUSY` for 16. */
export function errnoName(errno: number): string {
  const name = NAMES[errno - 1];
  return name === undefined || name === "-" ? `errno ${errno}` : name;
}

const PRIVILEGES = "run as root, or give the process CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON";
const MEMLOCK = "raise the locked-memory limit (ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit), " +
  "or use fewer or smaller chunks in umem";

const FILTER = "a packet filter of this machine forbids it: nft list ruleset shows it, or IPAddressDeny= in the unit";
const NO_PORT = "no local port is free: see net.ipv4.ip_local_port_range";

/** Keyed by `call errno`, then by `* errno`. */
const HINTS: Readonly<Record<string, string>> = {
  "* EPERM": PRIVILEGES,
  "* EACCES": PRIVILEGES,
  "* EMFILE": "raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit), or use fewer workers or queues",
  "* ENFILE": "the machine has too many files open: raise fs.file-max",
  "* ENOMEM": "free some memory, or use fewer queues, chunks in umem or workers",
  "* ENOSYS": "this kernel does not have the call: Linux 5.15 or newer is needed",
  "* ENODEV": "ip link lists the interfaces there are",
  "socket EAFNOSUPPORT": "this kernel has no AF_XDP: it needs CONFIG_XDP_SOCKETS=y",
  "setsockopt(XDP_UMEM_REG) EPERM": MEMLOCK,
  "setsockopt(XDP_UMEM_REG) ENOBUFS": MEMLOCK,
  "setsockopt(XDP_UMEM_REG) ENOMEM": MEMLOCK,
  "mmap ENOMEM": "free some memory, or use fewer chunks in umem or smaller rings",
  "bind EBUSY": "another AF_XDP socket already owns this queue: stop the other program (ss --xdp shows it), " +
    "or leave the queue out with queues:",
  "bind EINVAL": "the interface may have fewer queues than that, or its driver refuses this chunk size",
  "bind EOPNOTSUPP": "the driver has no zero-copy for this queue: set zero_copy: auto or off",
  "bind ENETDOWN": "bring the interface up first: ip link set DEV up",
  "bind ENODEV": "ip link lists the interfaces there are",
  "bpf_link_create EBUSY": "another XDP program is attached to the interface: bpftool net shows it",
  "bpf_link_create EEXIST": "another XDP program is attached to the interface: bpftool net shows it",
  "bpf_link_create EOPNOTSUPP": "the driver has no native XDP: set attach: generic or auto",
  "bpf_link_create EINVAL": "the driver refuses XDP here, often because of a large MTU or LRO: " +
    "ip link set DEV mtu 1500; ethtool -K DEV lro off",
  "bpf_link_create ERANGE": "the MTU is too large for native XDP: ip link set DEV mtu 1500, or attach: generic",
  "bpf_xdp_detach EBUSY": "a process holds it by a link: run this as root to see which",
  "connect EPERM": FILTER,
  "send EPERM": FILTER,
  "connect EAGAIN": NO_PORT,
  "connect EADDRNOTAVAIL": NO_PORT,
  "sched_setaffinity EINVAL": "workers.cpus names a CPU this machine or its cgroup does not have",
};

/** What else there is to do. */
const LOOK = "xdpsteer doctor looks for the cause";

/**
 * Makes the error for a failed call.
 *
 * @param call Name of the call as HINTS knows it: `bind`, `setsockopt(XDP_UMEM_REG)`.
 * @param errno Positive errno.
 * @param what What was being done, to follow "Cannot": `bind a socket to interface "eth0" queue 3`.
 */
export function syscallError(call: string, errno: number, what: string): SyscallError {
  const code = errnoName(errno);
  return new SyscallError(call, errno, code, what, HINTS[`${call} ${code}`] ?? HINTS[`* ${code}`] ?? LOOK);
}
