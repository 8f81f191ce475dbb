/**
 * Who sits on an interface, and who holds it there: the XDP program, its link, and the processes that keep the link
 * open. The kernel detaches a program when its link's last holder is gone.
 *
 * @module
 */
import { programName, queryXdp, type XdpAttachment, xdpLinkId } from "../ffi/libbpf.ts";

/** What is attached to an interface. */
export interface Attachment {
  readonly mode: Exclude<XdpAttachment["mode"], "none">;
  readonly programId: number;
  /** Cut to 15 characters, as the kernel keeps it; "" where this user may not know. */
  readonly program: string;
  /** Undefined where it was attached without a link. */
  readonly link: number | undefined;
}

/** What ip-link(8) calls a mode. */
const IP_LINK_WORD: Readonly<Record<Attachment["mode"], string>> = {
  native: "xdpdrv",
  generic: "xdpgeneric",
  hardware: "xdpoffload",
  several: "xdp",
};

export interface LinkHolder {
  readonly pid: number;
  /** The process's name, as it calls itself; printable. */
  readonly command: string;
}

/** What is attached to an interface; undefined if nothing is. */
export function attachmentOf(ifindex: number): Attachment | undefined {
  const { mode, programId } = queryXdp(ifindex);
  if (mode === "none") return undefined;
  return { mode, programId, program: programName(programId), link: xdpLinkId(programId, ifindex) };
}

/** For messages: `XDP program "name" (id 7, native mode)`. */
export function describeAttachment({ program, programId, mode }: Attachment): string {
  return `XDP program ${program === "" ? "" : `"${program}" `}(id ${programId}, ${mode} mode)`;
}

/** The command that removes a program that was attached without a link. */
export function removeCommand(interfaceName: string, { mode }: Attachment): string {
  return `ip link set dev ${interfaceName} ${IP_LINK_WORD[mode]} off`;
}

/** The processes that have a link open, as far as this one may see them. A pinned link, or no link, has none. */
export function linkHolders(link: number | undefined): LinkHolder[] {
  if (link === undefined) return [];
  return [...Deno.readDirSync("/proc")].map(({ name }) => name)
    .filter((pid) => /^\d+$/.test(pid) && holdsLink(pid, link))
    .map((pid) => ({ pid: Number(pid), command: commandOf(pid) }));
}

function holdsLink(pid: string, link: number): boolean {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/fd`)].some(({ name: fd }) => isLink(pid, fd, link));
  } catch {
    return false; // it ended, or is somebody else's
  }
}

function isLink(pid: string, fd: string, link: number): boolean {
  try {
    if (!/^anon_inode:\[?bpf[-_]link\]?$/.test(Deno.readLinkSync(`/proc/${pid}/fd/${fd}`))) return false;
    const [, id] = /^link_id:\s*(\d+)$/m.exec(Deno.readTextFileSync(`/proc/${pid}/fdinfo/${fd}`)) ?? [];
    return Number(id) === link;
  } catch {
    return false; // closed since
  }
}

function commandOf(pid: string): string {
  try {
    // A process may give itself any name, also one that steers a terminal.
    return Deno.readTextFileSync(`/proc/${pid}/comm`).trim().replace(/[^ -~]/g, "?");
  } catch {
    return "?";
  }
}
