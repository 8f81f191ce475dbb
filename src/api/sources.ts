/**
 * `/v1/sources`: who sends most to the rules, now.
 *
 * @module
 */
import { HttpError, json } from "./answers.ts";
import { requireWords } from "./conditions.ts";
import type { Answer } from "./question.ts";
import type { HttpOptions } from "./wire.ts";

/** A source and what it sends to a rule. */
export interface SourceRate {
  /** `192.0.2.1` or `2001:db8::/64`. */
  readonly source: string;
  /** "" for one that is gone. */
  readonly rule: string;
  readonly packetsPerSecond: number;
  readonly bytesPerSecond: number;
  /** The command that bans it. */
  readonly ban: string;
}

export interface SourcesAnswer {
  /** Of the interval that the rates are of. */
  readonly intervalMs: number;
  /** The rule that was asked about; null: all. */
  readonly rule: string | null;
  /** All packets to the rules in question; with a rule, those of the sources that are counted. */
  readonly packetsPerSecond: number;
  /** How many sources were seen in the interval. */
  readonly seen: number;
  /** Those that sent most first. */
  readonly sources: readonly SourceRate[];
}

const COUNT = { usual: 20, most: 1000 } as const;
const WORDS = ["rule", "count"];

/** GET `?rule=NAME&count=N`. */
export async function sources({ appliance, reloader }: HttpOptions, query: URLSearchParams): Promise<Answer> {
  requireWords(query, WORDS);
  const rule = query.get("rule");
  const count = readCount(query.get("count"));
  const names = reloader.config.steering.map(({ name }) => name);
  if (rule !== null && !names.includes(rule)) {
    throw new HttpError(404, `there is no rule ${JSON.stringify(rule)}: there is ${names.join(", ") || "none"}`);
  }
  const { intervalMs, packets, senders } = await appliance.sources.ask();
  const perSecond = (number: number): number => Math.round(number * 10_000 / intervalMs) / 10;
  const nameOf = new Map(names.map((name) => [appliance.counts.slotOf(name), name]));
  const shown = rule === null ? senders : senders.filter((sender) => nameOf.get(sender.rule) === rule);
  const answer: SourcesAnswer = {
    intervalMs: Math.round(intervalMs),
    rule,
    packetsPerSecond: perSecond(rule === null ? packets : shown.reduce((sum, sender) => sum + sender.packets, 0)),
    seen: shown.length,
    sources: shown.slice(0, count).map((sender) => ({
      source: sender.source,
      rule: nameOf.get(sender.rule) ?? "",
      packetsPerSecond: perSecond(sender.packets),
      bytesPerSecond: perSecond(sender.bytes),
      ban: `xdpsteer ban add ${sender.source} --for 10m`,
    })),
  };
  return json(answer);
}

function readCount(text: string | null): number {
  if (text === null) return COUNT.usual;
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= COUNT.most) return count;
  throw new HttpError(400, `count ${JSON.stringify(text)} is no number of sources: expected 1 to ${COUNT.most}`);
}
