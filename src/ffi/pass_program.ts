/**
 * The smallest XDP program there is, to try out what a kernel and a driver can do: it passes every packet.
 *
 * @module
 */
import { checked, libbpf } from "./libbpf_library.ts";
import { closeFd } from "./libc.ts";
import { BPF_PROG_INFO, UAPI } from "./uapi.ts";

/** `r0 = XDP_PASS; exit`, two `struct bpf_insn` of 8 bytes. */
const INSTRUCTIONS = Uint8Array.of(0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);
const INSTRUCTION_BYTES = 8;

const cString = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(`${text}\0`);

export class PassProgram implements Disposable {
  private constructor(readonly fd: number) {}

  /** @throws {SyscallError} where the kernel lets this process load no XDP program. */
  static load(): PassProgram {
    const count = BigInt(INSTRUCTIONS.byteLength / INSTRUCTION_BYTES);
    const [name, license] = [cString("xdpsteer_probe"), cString("GPL")];
    const result = libbpf().bpf_prog_load(UAPI.BPF_PROG_TYPE_XDP, name, license, INSTRUCTIONS, count, null);
    return new PassProgram(checked(result, "bpf_prog_load", "load an XDP program"));
  }

  /** Whether the kernel compiled it to machine code. */
  get compiled(): boolean {
    const info = new Uint8Array(256);
    const result = libbpf().bpf_obj_get_info_by_fd(this.fd, info, new Uint32Array([info.byteLength]));
    checked(result, "bpf_obj_get_info_by_fd", "read what became of an XDP program");
    return new DataView(info.buffer).getUint32(BPF_PROG_INFO.jited_prog_len, true) > 0;
  }

  [Symbol.dispose](): void {
    closeFd(this.fd);
  }
}
