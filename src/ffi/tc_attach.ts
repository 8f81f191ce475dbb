/**
 * Attaching BPF programs to what leaves by an interface, through libbpf.
 *
 * @module
 */
import { libbpf } from "./libbpf_library.ts";
import { BPF_TC_HOOK, BPF_TC_OPTS, UAPI } from "./uapi.ts";

/**
 * Attaches a program to what leaves by an interface, behind the programs that are there (tcx). @returns the link's fd
 * (closing it detaches), or `-errno`: EINVAL where the kernel is older than 6.6.
 */
export function createTcxEgressLink(program: number, ifindex: number): number {
  return libbpf().bpf_link_create(program, ifindex, UAPI.BPF_TCX_EGRESS, null);
}

function tcEgressHook(ifindex: number): Uint8Array<ArrayBuffer> {
  const hook = new Uint8Array(BPF_TC_HOOK.size);
  const view = new DataView(hook.buffer);
  view.setBigUint64(BPF_TC_HOOK.sz, BigInt(hook.byteLength), true);
  view.setInt32(BPF_TC_HOOK.ifindex, ifindex, true);
  view.setInt32(BPF_TC_HOOK.attach_point, UAPI.BPF_TC_EGRESS, true);
  return hook;
}

/** @param program Its fd; 0 to detach. */
function tcOptions({ handle, priority }: TcPlace, program: number): Uint8Array<ArrayBuffer> {
  const options = new Uint8Array(BPF_TC_OPTS.size);
  const view = new DataView(options.buffer);
  view.setBigUint64(BPF_TC_OPTS.sz, BigInt(options.byteLength), true);
  view.setInt32(BPF_TC_OPTS.prog_fd, program, true);
  view.setUint32(BPF_TC_OPTS.handle, handle, true);
  view.setUint32(BPF_TC_OPTS.priority, priority, true);
  return options;
}

/** Where a filter stands among those of an interface. */
export interface TcPlace {
  readonly handle: number;
  readonly priority: number;
}

/** Gives an interface the qdisc clsact, which filters hang on. @returns 0 or `-errno`: EEXIST where it has it. */
export function createClsact(ifindex: number): number {
  return libbpf().bpf_tc_hook_create(tcEgressHook(ifindex));
}

/** Attaches a program as a filter of what leaves by an interface that has clsact. @returns 0 or `-errno`. */
export function attachTcEgress(program: number, ifindex: number, place: TcPlace): number {
  return libbpf().bpf_tc_attach(tcEgressHook(ifindex), tcOptions(place, program));
}

/** @returns 0 or `-errno`. */
export function detachTcEgress(ifindex: number, place: TcPlace): number {
  return libbpf().bpf_tc_detach(tcEgressHook(ifindex), tcOptions(place, 0));
}
