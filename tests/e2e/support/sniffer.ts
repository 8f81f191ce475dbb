/**
 * What really was on a wire, by dumpcap and tshark.
 *
 * @module
 */
import assert from "node:assert/strict";
import { TempDir } from "./command.ts";
import { Program } from "./programs.ts";
import { until } from "./wait.ts";

const FIELDS = ["ip.checksum.status", "udp.checksum.status", "udp.checksum", "ipv6.src", "udp.length"];
/** tshark's numbers. */
const STATUS: Readonly<Record<string, string>> = { "0": "bad", "1": "good", "2": "unverified", "3": "none" };

export interface SniffedPacket {
  /** "" for IPv6, which has none. */
  readonly ipChecksum: string;
  readonly udpChecksum: string;
  readonly isIpv6: boolean;
  readonly payloadBytes: number;
}

/** Listens on an interface of a namespace, from its start to {@linkcode packets}. */
export class Sniffer implements AsyncDisposable {
  private constructor(private readonly dumpcap: Program, private readonly directory: TempDir) {}

  /** @param filter In the language of pcap-filter(7). */
  static async start(namespace: string, device: string, filter: string): Promise<Sniffer> {
    const directory = await TempDir.create();
    const argv = ["dumpcap", "-i", device, "-f", filter, "-w", `${directory.path}/packets.pcapng`];
    return new Sniffer(await Program.start(namespace, argv, "File: "), directory);
  }

  /**
   * Stops listening, once `count` packets were heard: the kernel hands them over in blocks, not at once.
   *
   * @returns all that was heard; fails where something was missed.
   */
  async packets(count: number): Promise<SniffedPacket[]> {
    return (await this.fields(count, FIELDS)).map(([ip = "", udp = "", checksum, ipv6, length]) => {
      const isNone = STATUS[udp] === "none" || checksum === "0x0000";
      return {
        ipChecksum: STATUS[ip] ?? ip,
        udpChecksum: isNone ? "none" : STATUS[udp] ?? udp,
        isIpv6: ipv6 !== "",
        payloadBytes: Number(length) - 8,
      };
    });
  }

  /** As {@linkcode packets}: fields of each packet, by tshark's names; those that occur twice have a comma. */
  async fields(count: number, names: readonly string[]): Promise<string[][]> {
    const heard = (): number => Number([...this.dumpcap.output.matchAll(/Packets: (\d+)/g)].at(-1)?.[1] ?? 0);
    await until(`${count} packets`, () => heard() >= count, { describe: heard });
    const report = await this.dumpcap.interrupt();
    assert.match(report, /received\/dropped on interface '.*': \d+\/0 /);
    const checks = ["ip.check_checksum:TRUE", "udp.check_checksum:TRUE"].flatMap((option) => ["-o", option]);
    const fields = names.flatMap((field) => ["-e", field]);
    const { success, stdout, stderr } = await new Deno.Command("tshark", {
      args: ["-n", "-r", `${this.directory.path}/packets.pcapng`, ...checks, "-T", "fields", ...fields],
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).split("\n").slice(0, -1).map((line) => line.split("\t"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dumpcap[Symbol.asyncDispose]();
    await this.directory[Symbol.asyncDispose]();
  }
}
