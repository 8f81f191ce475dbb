/** Bans without a kernel. */
import type { BanSteering, KernelBan } from "../../src/bpf/ban_table.ts";
import { formatAddress } from "../../src/packet/address.ts";

export class FakeBanTable implements BanSteering {
  /** By scope and prefix: packets dropped. */
  readonly bans = new Map<string, number>();

  add(ban: KernelBan): void {
    this.bans.set(textOf(ban), 0);
  }

  /** What removing one fails with. */
  fault: Error | undefined;

  remove(ban: KernelBan): void {
    if (this.fault !== undefined) throw this.fault;
    this.bans.delete(textOf(ban));
  }

  packets(ban: KernelBan): number {
    return this.bans.get(textOf(ban)) ?? 0;
  }
}

function textOf({ scope, prefix: { address, bits } }: KernelBan): string {
  return `${scope} ${formatAddress(address)}/${bits}`;
}
