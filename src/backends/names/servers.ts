/**
 * Which DNS servers are asked: those of the configuration, else those of this machine.
 *
 * @module
 */
import type { Answer, RecordType } from "./answer.ts";
import { type DnsServer, query, type QueryOptions } from "./dns_query.ts";

const RESOLV_CONF = "/etc/resolv.conf";
const DNS_PORT = 53;
/** A server has so long to answer. */
export const ANSWER_MS = 1000;
/** Each server is asked so often before a question has failed. */
const ROUNDS = 2;

/** What `nameserver` lines name. An interface behind an address (`fe80::1%eth0`) stays with it. */
export function readServers(text: string): DnsServer[] {
  return [...text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map(([, address]) => ({
    address: address!,
    port: DNS_PORT,
  }));
}

/** Asks one server after the other until one has an answer. Reads resolv.conf each time: it may have changed. */
export async function ask(
  configured: readonly DnsServer[],
  name: string,
  type: RecordType,
  options: QueryOptions,
): Promise<Answer> {
  const servers = configured.length > 0 ? configured : await machineServers();
  if (servers.length === 0) return { kind: "failed", words: `${RESOLV_CONF} names no server that can be asked` };
  const failures: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const server of servers) {
      const answer = await query(server, name, type, options);
      if (answer.kind !== "failed") return answer;
      if (round === 0) failures.push(answer.words);
    }
  }
  return { kind: "failed", words: failures.join("; ") };
}

async function machineServers(): Promise<DnsServer[]> {
  try {
    return readServers(await Deno.readTextFile(RESOLV_CONF));
  } catch {
    return [];
  }
}
