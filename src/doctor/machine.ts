/**
 * The kernel: its version, how it was built, and whether it takes a BPF program and an AF_XDP socket from this process.
 *
 * @module
 */
import { gunzipSync } from "node:zlib";
import { SteerError, SyscallError } from "../errors.ts";
import { kernelHasTimers } from "../bpf/deadman.ts";
import { possibleCpus } from "../ffi/libbpf.ts";
import { closeFd, openXdpSocket } from "../ffi/libc.ts";
import { PassProgram } from "../ffi/pass_program.ts";
import { missingCapabilities } from "../host/privileges.ts";
import { type MachineCheck, ok, problem, readText, type Verdict, warning } from "../host/question.ts";

/** XDP programs are attached by link, which is of this version. */
const LEAST_VERSION = [5, 9] as const;
/** The oldest that is supported. */
const SUPPORTED_VERSION = [5, 15] as const;

/** Options without which nothing works, and those without which it works badly. */
const NEEDED_OPTIONS = ["BPF_SYSCALL", "XDP_SOCKETS"] as const;
const WANTED_OPTIONS = ["BPF_JIT", "DEBUG_INFO_BTF"] as const;

export const MACHINE_CHECKS: readonly MachineCheck[] = [
  { check: "kernel.version", explains: ["EINVAL"], look: kernelVersion },
  { check: "kernel.config", explains: ["EINVAL", "EAFNOSUPPORT", "ENOSYS"], look: kernelConfig },
  { check: "kernel.af_xdp", explains: ["EAFNOSUPPORT"], look: afXdp },
  { check: "kernel.btf", explains: [], look: kernelBtf },
  { check: "bpf.library", explains: [], look: bpfLibrary },
  { check: "bpf.load", explains: ["EPERM", "EACCES"], look: bpfLoad },
  { check: "bpf.timer", explains: [], look: bpfTimer },
  { check: "bpf.jit", explains: [], look: bpfJit },
  { check: "bpf.fs", explains: [], look: bpfFileSystem },
];

/** `6.1.0-18-amd64` */
function kernelRelease(): string {
  return readText("/proc/sys/kernel/osrelease") ?? "";
}

/** Whether the running kernel is of this version, or newer. */
export function kernelVersionIsAtLeast([wantedMajor, wantedMinor]: readonly [major: number, minor: number]): boolean {
  const [major = 0, minor = 0] = kernelRelease().split(/[.-]/).map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

function kernelVersion(): Verdict {
  const text = `Linux ${kernelRelease()}`;
  const fix = `boot Linux ${SUPPORTED_VERSION.join(".")} or newer`;
  if (!kernelVersionIsAtLeast(LEAST_VERSION)) return problem(`${text} cannot attach XDP programs by link`, fix);
  if (!kernelVersionIsAtLeast(SUPPORTED_VERSION)) {
    return warning(`${text} is older than any that xdpsteer is tested on`, fix);
  }
  return ok(text);
}

/** The options the running kernel was built with; undefined where it does not tell. */
export function kernelOptions(): ReadonlySet<string> | undefined {
  const text = compressedConfig() ??
    readText(`/boot/config-${kernelRelease()}`) ?? readText(`/lib/modules/${kernelRelease()}/config`);
  return text === undefined ? undefined : new Set([...text.matchAll(/^CONFIG_(\w+)=[ym]$/gm)].map(([, name]) => name!));
}

function compressedConfig(): string | undefined {
  try {
    return new TextDecoder().decode(gunzipSync(Deno.readFileSync("/proc/config.gz")));
  } catch {
    return undefined;
  }
}

function kernelConfig(): Verdict {
  const options = kernelOptions();
  if (options === undefined) {
    const place = `/boot/config-${kernelRelease()}`;
    return warning(`how the kernel was built is not known: there is neither /proc/config.gz nor ${place}`);
  }
  const missing = (names: readonly string[]): string =>
    names.filter((name) => !options.has(name)).map((name) => `CONFIG_${name}=y`).join(", ");
  const needed = missing(NEEDED_OPTIONS);
  if (needed !== "") return problem(`the kernel was built without ${needed}`, `boot a kernel with ${needed}`);
  const wanted = missing(WANTED_OPTIONS);
  if (wanted !== "") return warning(`the kernel was built without ${wanted}`, `boot a kernel with ${wanted}`);
  return ok(`the kernel has ${[...NEEDED_OPTIONS, ...WANTED_OPTIONS].map((name) => `CONFIG_${name}`).join(", ")}`);
}

function afXdp(): Verdict | undefined {
  try {
    closeFd(openXdpSocket());
    return ok("the kernel opens AF_XDP sockets");
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.code === "EPERM") return undefined; // the capabilities are a check of their own
    return problem(`the kernel opens no AF_XDP socket: ${error.code}`, "boot a kernel with CONFIG_XDP_SOCKETS=y");
  }
}

function kernelBtf(): Verdict {
  try {
    Deno.statSync("/sys/kernel/btf/vmlinux");
    return ok("the kernel describes its types (BTF)");
  } catch {
    return warning("the kernel does not describe its types (BTF)", "boot a kernel with CONFIG_DEBUG_INFO_BTF=y");
  }
}

function bpfLibrary(): Verdict {
  try {
    possibleCpus();
    return ok("libbpf is there");
  } catch (error) {
    if (!(error instanceof SteerError)) throw error;
    return problem(error.message, error.hint);
  }
}

function bpfLoad(): Verdict | undefined {
  if (missingCapabilities().length > 0) return undefined;
  try {
    using _program = PassProgram.load();
    return ok("the kernel takes XDP programs from this process");
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return problem(
      `the kernel takes no XDP program from this process (${error.code}): a security module or lockdown may forbid it`,
      "cat /sys/kernel/security/lsm /sys/kernel/security/lockdown",
    );
  }
}

/** What it takes that packets pass to the kernel stack while the process stands still. */
function bpfTimer(): Verdict | undefined {
  if (missingCapabilities().length > 0) return undefined;
  return kernelHasTimers()
    ? ok("the kernel has BPF timers: while no worker runs, packets pass to the kernel stack")
    : warning(
      "the kernel has no BPF timers: while the process stands still, packets for listed ports are lost",
      `boot Linux ${SUPPORTED_VERSION.join(".")} or newer`,
    );
}

/** The switch is in the first network namespace only; what became of a program says the same anywhere. */
function bpfJit(): Verdict | undefined {
  if (missingCapabilities().length > 0) return undefined;
  using program = PassProgram.load();
  return program.compiled
    ? ok("the kernel compiles BPF programs to machine code (JIT)")
    : warning("the kernel interprets BPF programs, several times slower", "sysctl -w net.core.bpf_jit_enable=1");
}

function bpfFileSystem(): Verdict {
  const mounts = readText("/proc/self/mounts") ?? "";
  const path = mounts.split("\n").map((line) => line.split(" ")).find(([, , type]) => type === "bpf")?.[1];
  return ok(
    path === undefined ? "no BPF file system is mounted, and steering needs none" : `BPF file system at ${path}`,
  );
}
