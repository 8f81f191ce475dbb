/**
 * Who keeps a BPF link open, by /proc: the kernel detaches a program when its link's last holder is gone.
 *
 * @module
 */

export interface LinkHolder {
  readonly pid: number;
  /** The process's name, as it calls itself; printable. */
  readonly command: string;
}

/** The processes that have a link open, as far as this one may see them. A pinned link may have none. */
export function linkHolders(link: number): LinkHolder[] {
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
