/**
 * libc through FFI: the calls AF_XDP needs. Functions that return `-errno` are safe on the data path: they allocate
 * nothing and throw nothing. The others are for set-up and throw {@linkcode SyscallError}.
 *
 * @module
 */
import { syscallError } from "./errno.ts";
import { type Functions, openLibrary } from "./library.ts";
import { OPEN_HOW, SYSCALL_NUMBERS, TIMESPEC, UAPI } from "./uapi.ts";

const SYMBOLS = {
  // int *__errno_location(void)
  __errno_location: { parameters: [], result: "pointer" },
  // int socket(int domain, int type, int protocol)
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  // int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  // int bind(int fd, const struct sockaddr *address, socklen_t length)
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int connect(int fd, const struct sockaddr *address, socklen_t length)
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int open(const char *path, int flags, mode_t mode)
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  // int flock(int fd, int operation)
  flock: { parameters: ["i32", "i32"], result: "i32" },
  // ssize_t read(int fd, void *data, size_t length)
  read: { parameters: ["i32", "buffer", "usize"], result: "i64" },
  // ssize_t write(int fd, const void *data, size_t length)
  write: { parameters: ["i32", "buffer", "usize"], result: "i64" },
  // ssize_t send(int fd, const void *data, size_t length, int flags)
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i64" },
  // int close(int fd)
  close: { parameters: ["i32"], result: "i32" },
  // void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
  // int munmap(void *address, size_t length)
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
  // int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
  poll: { parameters: ["pointer", "u32", "i32"], result: "i32" },
  poll_one: { name: "poll", parameters: ["buffer", "u32", "i32"], result: "i32" },
  // the same, on another thread
  poll_elsewhere: { name: "poll", parameters: ["pointer", "u32", "i32"], result: "i32", nonblocking: true },
  // ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t to_length)
  sendto: { parameters: ["i32", "pointer", "usize", "i32", "pointer", "u32"], result: "i32" },
  // the same, for datagrams: off the hot path, where arrays may be handed over
  send_datagram: { name: "sendto", parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"], result: "i32" },
  // int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
  sendmmsg: { parameters: ["i32", "pointer", "u32", "i32"], result: "i32" },
  // int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)
  recvmmsg: { parameters: ["i32", "pointer", "u32", "i32", "pointer"], result: "i32" },
  // ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
  sendmsg: { parameters: ["i32", "pointer", "i32"], result: "i64" },
  // ssize_t recvmsg(int fd, struct msghdr *message, int flags)
  recvmsg: { parameters: ["i32", "pointer", "i32"], result: "i64" },
  // int socketpair(int domain, int type, int protocol, int fds[2])
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int memfd_create(const char *name, unsigned int flags)
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  // int ftruncate(int fd, off_t length)
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  // int fcntl(int fd, int command, int argument)
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int dup2(int from, int to)
  dup2: { parameters: ["i32", "i32"], result: "i32" },
  // ssize_t recv(int fd, void *data, size_t length, int flags)
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  // int memcmp(const void *left, const void *right, size_t length)
  memcmp: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  // int vsnprintf(char *out, size_t size, const char *format, va_list arguments)
  vsnprintf: { parameters: ["buffer", "usize", "pointer", "pointer"], result: "i32" },
  // int clock_gettime(clockid_t clock, struct timespec *time)
  clock_gettime: { parameters: ["i32", "pointer"], result: "i32" },
  read_clock: { name: "clock_gettime", parameters: ["i32", "buffer"], result: "i32" },
  // int eventfd(unsigned int initial, int flags)
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  // int timerfd_create(int clockid, int flags)
  timerfd_create: { parameters: ["i32", "i32"], result: "i32" },
  // int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
  timerfd_settime: { parameters: ["i32", "i32", "buffer", "pointer"], result: "i32" },
  // int eventfd_write(int fd, eventfd_t value)
  eventfd_write: { parameters: ["i32", "u64"], result: "i32" },
  // int eventfd_read(int fd, eventfd_t *value)
  eventfd_read: { parameters: ["i32", "pointer"], result: "i32" },
  // pid_t gettid(void)
  gettid: { parameters: [], result: "i32" },
  // int kill(pid_t process, int signal)
  kill: { parameters: ["i32", "i32"], result: "i32" },
  // int setpriority(int which, id_t who, int niceness)
  setpriority: { parameters: ["i32", "u32", "i32"], result: "i32" },
  // int nice(int increment)
  nice: { parameters: ["i32"], result: "i32" },
  // sighandler_t signal(int number, sighandler_t handler)
  signal: { parameters: ["i32", "usize"], result: "usize" },
  // int sigaction(int number, const struct sigaction *action, struct sigaction *before)
  sigaction: { parameters: ["i32", "buffer", "pointer"], result: "i32" },
  // int tgkill(pid_t process, pid_t thread, int signal)
  tgkill: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // void *dlsym(void *library, const char *name)
  dlsym: { parameters: ["pointer", "buffer"], result: "pointer" },
  // int prctl(int option, unsigned long value, unsigned long, unsigned long, unsigned long)
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  // int malloc_trim(size_t pad)
  malloc_trim: { parameters: ["usize"], result: "i32" },
  // int sched_setaffinity(pid_t thread, size_t size, const cpu_set_t *set)
  sched_setaffinity: { parameters: ["i32", "usize", "buffer"], result: "i32" },
  // int sched_getaffinity(pid_t thread, size_t size, cpu_set_t *set)
  sched_getaffinity: { parameters: ["i32", "usize", "buffer"], result: "i32" },
  // int ioctl(int fd, unsigned long request, void *argument)
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  // unsigned int if_nametoindex(const char *name)
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
  // long syscall(long number, int directory, const char *path, struct open_how *how, size_t size)
  openat2: { name: "syscall", parameters: ["i64", "i32", "buffer", "buffer", "usize"], result: "i64" },
  // long syscall(long number, ...), waiting off the main thread
  membarrier: { name: "syscall", parameters: ["i64", "i32", "u32", "i32"], result: "i64", nonblocking: true },
} as const satisfies Deno.ForeignLibraryInterface;

type Libc = Functions<typeof SYMBOLS>;

let opened: { readonly symbols: Libc; readonly errno: Int32Array } | undefined;

/**
 * The calls and errno, for the modules of src/ffi. libc itself is never closed: it is part of the process. One view of
 * errno per thread, since each thread has its own; it is read before anything else can change it.
 */
export function libc(): { readonly symbols: Libc; readonly errno: Int32Array } {
  if (opened === undefined) {
    const symbols = openLibrary("libc.so.6", SYMBOLS, "a glibc system has it");
    const location = symbols.__errno_location()!;
    opened = { symbols, errno: new Int32Array(Deno.UnsafePointerView.getArrayBuffer(location, 4)) };
  }
  return opened;
}

/** Makes functions ready ahead of their first use, which takes 0.2 ms for each, and 3 ms for the first of a thread. */
export function prepareCalls(...names: readonly (keyof typeof SYMBOLS)[]): void {
  const { symbols } = libc();
  for (const name of names) symbols[name];
}

/** Throws for a negative result. errno is read before anything else can change it. */
export function checked(result: number, call: string, what: string): number {
  if (result < 0) throw syscallError(call, opened!.errno[0]!, what);
  return result;
}

/** Opens an AF_XDP socket. */
export function openXdpSocket(): number {
  const fd = libc().symbols.socket(UAPI.AF_XDP, UAPI.SOCK_RAW | UAPI.SOCK_CLOEXEC, 0);
  return checked(fd, "socket", "open an AF_XDP socket");
}

/** Sets a socket option of level SOL_XDP. `name` is the option's C name, for the error. */
export function setXdpOption(fd: number, option: number, name: string, value: Uint8Array, what: string): void {
  const result = libc().symbols.setsockopt(fd, UAPI.SOL_XDP, option, value as BufferSource, value.byteLength);
  checked(result, `setsockopt(${name})`, what);
}

/** Sets an option of a single number, where the kernel has it: an older one goes on as it is. */
export function trySetXdpOption(fd: number, option: number, value: number): void {
  const bytes = new Uint32Array([value]);
  libc().symbols.setsockopt(fd, UAPI.SOL_XDP, option, bytes, bytes.byteLength);
}

/** Reads a socket option of level SOL_XDP into `value`; older kernels may fill only a part of it. */
export function getXdpOption(fd: number, option: number, name: string, value: Uint8Array, what: string): number {
  const length = new Uint32Array([value.byteLength]);
  const result = libc().symbols.getsockopt(fd, UAPI.SOL_XDP, option, value as BufferSource, length as BufferSource);
  checked(result, `getsockopt(${name})`, what);
  return length[0]!;
}

/** What has gone wrong with a socket since this was asked last: 0 or `-errno`. */
export function takeSocketError(fd: number): number {
  const { symbols, errno } = libc();
  const value = new Int32Array(1);
  const length = new Uint32Array([value.byteLength]);
  const result = symbols.getsockopt(fd, UAPI.SOL_SOCKET, UAPI.SO_ERROR, value, length);
  return result < 0 ? -errno[0]! : -value[0]!;
}

/** Binds a socket; returns 0 or `-errno`, since some refusals are answers (no zero-copy here) and not errors. */
export function bindSocket(fd: number, address: Uint8Array): number {
  const { symbols, errno } = libc();
  const result = symbols.bind(fd, address as BufferSource, address.byteLength);
  return result < 0 ? -errno[0]! : 0;
}

/**
 * Sends one datagram to a Unix socket, without waiting.
 *
 * @param address A `struct sockaddr_un`, as long as its path.
 * @throws {SyscallError}
 */
export function sendUnixDatagram(
  address: Uint8Array<ArrayBuffer>,
  message: Uint8Array<ArrayBuffer>,
  what: string,
): void {
  const { symbols, errno } = libc();
  const fd = checked(symbols.socket(UAPI.AF_UNIX, UAPI.SOCK_DGRAM | UAPI.SOCK_CLOEXEC, 0), "socket", what);
  const length = BigInt(message.byteLength);
  const result = symbols.send_datagram(fd, message, length, UAPI.MSG_DONTWAIT, address, address.byteLength);
  const code = errno[0]!;
  symbols.close(fd);
  if (result < 0) throw syscallError("sendto", code, what);
}

/** Microseconds of CLOCK_MONOTONIC: a time that other processes can compare with theirs. */
export function monotonicMicroseconds(): bigint {
  const time = new BigInt64Array(TIMESPEC.size / 8);
  libc().symbols.read_clock(UAPI.CLOCK_MONOTONIC, time);
  return time[0]! * 1_000_000n + time[1]! / 1000n;
}

/**
 * Opens a file, for reading unless `flags` say otherwise.
 *
 * @param mode Of a file that is made.
 * @returns the descriptor, which the caller closes; programs that are started do not get it.
 * @throws {SyscallError}
 */
export function openFile(path: string, flags: number, mode = 0o600): number {
  const name = new TextEncoder().encode(`${path}\0`);
  return checked(libc().symbols.open(name, flags | UAPI.O_CLOEXEC, mode), "open", `open "${path}"`);
}

/**
 * Opens what `path` leads to from a directory, and only if the whole way is beneath that (openat2(2)).
 *
 * @returns the descriptor, which the caller closes.
 * @throws {SyscallError} EXDEV where it leads out.
 */
export function openBeneath(directory: number, path: string, flags: number): number {
  const { symbols } = libc();
  const how = new BigUint64Array(OPEN_HOW.size / 8);
  how[OPEN_HOW.flags / 8] = BigInt(flags | UAPI.O_CLOEXEC);
  how[OPEN_HOW.resolve / 8] = BigInt(UAPI.RESOLVE_BENEATH | UAPI.RESOLVE_NO_MAGICLINKS);
  const number = BigInt(SYSCALL_NUMBERS[Deno.build.arch].openat2);
  const name = new TextEncoder().encode(`${path}\0`);
  const fd = Number(symbols.openat2(number, directory, name, how, BigInt(OPEN_HOW.size)));
  return checked(fd, "openat2", `open "${path}"`);
}

/** Takes the lock of an open file, for as long as that is open. @returns 0 or `-errno`: EAGAIN if another has it. */
export function tryLock(fd: number): number {
  const { symbols, errno } = libc();
  const result = symbols.flock(fd, UAPI.LOCK_EX | UAPI.LOCK_NB);
  return result < 0 ? -errno[0]! : 0;
}

/** Reads as much as there is now, up to the length of `into`. @returns bytes, 0 at the end. @throws {SyscallError} */
export function readFile(fd: number, into: Uint8Array<ArrayBuffer>): number {
  return checked(Number(libc().symbols.read(fd, into, BigInt(into.byteLength))), "read", "read a file");
}

export function closeFd(fd: number): void {
  libc().symbols.close(fd);
}

/**
 * Whether two pieces of memory of the same length hold the same. A loop, in code that has hardly run before, takes
 * milliseconds.
 */
export function equalBytes(left: Uint8Array<ArrayBuffer>, right: Uint8Array<ArrayBuffer>): boolean {
  return libc().symbols.memcmp(left, right, BigInt(left.byteLength)) === 0;
}

/** Maps memory; see memory.ts for the object that owns it. */
export function mapMemory(
  length: number,
  flags: number,
  fd: number,
  offset: number,
  what: string,
): Deno.PointerObject {
  const { symbols, errno } = libc();
  const protection = UAPI.PROT_READ | UAPI.PROT_WRITE;
  const pointer = symbols.mmap(null, BigInt(length), protection, flags, fd, BigInt(offset));
  const code = errno[0]!;
  // MAP_FAILED is (void *)-1, not null.
  if (pointer === null || Deno.UnsafePointer.value(pointer) === 0xffffffffffffffffn) {
    throw syscallError("mmap", code, what);
  }
  return pointer;
}

export function unmapMemory(pointer: Deno.PointerObject, length: number): void {
  libc().symbols.munmap(pointer, BigInt(length));
}

/** The interface's index, or 0 where there is none of that name in this network namespace. */
export function interfaceIndex(name: string): number {
  return libc().symbols.if_nametoindex(new TextEncoder().encode(`${name}\0`));
}

/**
 * Asks the kernel something about an interface, by ioctl(2) as netdevice(7) has it.
 *
 * @param ifreq A `struct ifreq`; the answer is written into it, or to where it points.
 * @returns 0 or `-errno`, since some refusals are answers.
 */
export function interfaceIoctl(request: number, ifreq: Uint8Array<ArrayBuffer>): number {
  const { symbols, errno } = libc();
  const fd = symbols.socket(UAPI.AF_UNIX, UAPI.SOCK_DGRAM | UAPI.SOCK_CLOEXEC, 0);
  checked(fd, "socket", "ask about an interface");
  const result = symbols.ioctl(fd, BigInt(request), ifreq);
  const code = errno[0]!;
  symbols.close(fd);
  return result < 0 ? -code : 0;
}

/** Opens an eventfd: a counter another thread can bump to end a sleep. */
export function openEventFd(): number {
  return checked(libc().symbols.eventfd(0, UAPI.EFD_NONBLOCK | UAPI.EFD_CLOEXEC), "eventfd", "open an eventfd");
}

/** Ends a sleep that waits for this eventfd. */
export function signalEventFd(fd: number): void {
  libc().symbols.eventfd_write(fd, 1n);
}

/** Makes a file without a name, of zeros, which is there for as long as anybody has it open or mapped. */
export function makeMemoryFile(name: string, bytes: number): number {
  const { symbols, errno } = libc();
  const what = `make ${bytes} bytes of memory for ${name}`;
  const fd = checked(
    symbols.memfd_create(new TextEncoder().encode(`${name}\0`), UAPI.MFD_CLOEXEC),
    "memfd_create",
    what,
  );
  if (symbols.ftruncate(fd, BigInt(bytes)) === 0) return fd;
  const code = errno[0]!;
  symbols.close(fd);
  throw syscallError("ftruncate", code, what);
}

/** Two ends of a connection that keeps messages apart. Programs that are started do not get them. */
export function openSocketPair(): readonly [number, number] {
  const fds = new Int32Array(2);
  const result = libc().symbols.socketpair(UAPI.AF_UNIX, UAPI.SOCK_SEQPACKET | UAPI.SOCK_CLOEXEC, 0, fds);
  checked(result, "socketpair", "make a pair of sockets");
  return [fds[0]!, fds[1]!];
}

/** `struct itimerspec`: from now on every 100 ms, the first time at once. */
const AT_ONCE_AND_AGAIN = new BigInt64Array([0n, 100_000_000n, 0n, 1n]);

/**
 * Opens what ends a worker's sleep: every 100 ms by itself, so that a worker with nothing to do turns too, and whenever
 * {@linkcode wake} is called. A timerfd: in a set that is polled anyway it costs a sleep nothing, where a timeout costs
 * it a tenth.
 */
export function openWakeFd(): number {
  const { symbols } = libc();
  const flags = UAPI.TFD_NONBLOCK | UAPI.TFD_CLOEXEC;
  const fd = checked(symbols.timerfd_create(UAPI.CLOCK_MONOTONIC, flags), "timerfd_create", "open a timerfd");
  wake(fd);
  return fd;
}

/** Ends a sleep that waits for what {@linkcode openWakeFd} has opened. */
export function wake(fd: number): void {
  libc().symbols.timerfd_settime(fd, 0, AT_ONCE_AND_AGAIN, null);
}

/** The kernel's number of the calling thread. */
export function threadId(): number {
  return libc().symbols.gettid();
}

export const CPU_SET_BYTES = 128; // cpu_set_t: 1,024 bits

/**
 * Keeps a thread of this process off some CPUs, unless there would be none left. Does nothing for a thread that has
 * ended.
 */
export function keepThreadOff(cpus: readonly number[], thread: number): void {
  const { symbols } = libc();
  const set = new Uint8Array(CPU_SET_BYTES);
  if (symbols.sched_getaffinity(thread, BigInt(CPU_SET_BYTES), set) < 0) return;
  for (const cpu of cpus) set[cpu >> 3]! &= ~(1 << (cpu & 7));
  if (set.some((byte) => byte !== 0)) symbols.sched_setaffinity(thread, BigInt(CPU_SET_BYTES), set);
}

/** Whether the calling thread may run on a CPU, whatever its affinity is now: a cpuset may keep it off. */
export function mayRunOn(cpu: number): boolean {
  const { symbols } = libc();
  const before = new Uint8Array(CPU_SET_BYTES);
  if (symbols.sched_getaffinity(0, BigInt(CPU_SET_BYTES), before) < 0) return true; // nothing is known
  const only = new Uint8Array(CPU_SET_BYTES);
  only[cpu >> 3] = 1 << (cpu & 7);
  const mayRun = symbols.sched_setaffinity(0, BigInt(CPU_SET_BYTES), only) >= 0;
  if (mayRun) symbols.sched_setaffinity(0, BigInt(CPU_SET_BYTES), before);
  return mayRun;
}

/** Gives memory that was freed back to the kernel. Takes some milliseconds, in which other threads cannot get any. */
export function trimMemory(): void {
  libc().symbols.malloc_trim(0n);
}

/** Pins the calling thread to one CPU. */
export function pinThread(cpu: number): void {
  const set = new Uint8Array(CPU_SET_BYTES);
  set[cpu >> 3] = 1 << (cpu & 7);
  const result = libc().symbols.sched_setaffinity(0, BigInt(set.byteLength), set);
  checked(result, "sched_setaffinity", `pin a worker to CPU ${cpu}`);
}

/**
 * Lets other threads go before the calling one, and those it starts from now on: on Linux, niceness is a thread's own
 * (nice(2)).
 */
export function yieldPriority(niceness: number): void {
  libc().symbols.nice(niceness);
}

/** Whether other processes of its user may look into this one's memory, and core dumps show it (prctl(2)). */
export function setDumpable(dumpable: boolean): void {
  libc().symbols.prctl(UAPI.PR_SET_DUMPABLE, dumpable ? 1n : 0n, 0n, 0n, 0n);
}

/** Thousands of times as long as a program's run. */
const GRACE_WITHOUT_MEMBARRIER_MS = 100;

/** Resolves once every XDP program run that began before the call has ended (an RCU grace period). */
export async function rcuGracePeriod(): Promise<void> {
  const number = SYSCALL_NUMBERS[Deno.build.arch].membarrier;
  const result = await libc().symbols.membarrier(BigInt(number), UAPI.MEMBARRIER_CMD_GLOBAL, 0, 0);
  // Refused where CPUs run without a tick (nohz_full).
  if (result !== 0n) await new Promise((resolve) => setTimeout(resolve, GRACE_WITHOUT_MEMBARRIER_MS));
}

const NO_BYTES = 0n;

/**
 * Tells the kernel to look at a socket's tx ring. Hot path: no allocation.
 *
 * @returns 0 or `-errno`; EAGAIN, EBUSY and ENOBUFS mean "some are left, ask again".
 */
export function wakeTx(fd: number): number {
  const { symbols, errno } = opened!;
  const result = symbols.sendto(fd, null, NO_BYTES, UAPI.MSG_DONTWAIT, null, 0);
  return result < 0 ? -errno[0]! : 0;
}
