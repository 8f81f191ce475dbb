/**
 * What names mean: the last good answer to each question, and when it is to be asked again.
 *
 * @module
 */
import { readBackend } from "../../config/backend.ts";
import { formatEndpoint } from "../../packet/address.ts";
import type { Backend, BackendName } from "../../steering/forward.ts";
import { firstOf } from "../../text.ts";
import type { Answer, RecordType, Service } from "./answer.ts";
import { NOT_THERE } from "./dns_message.ts";

/** Seconds between two questions, whatever an answer says it holds for. */
export const TTL_FLOOR = 1;
export const TTL_CEILING = 300;
/** Of an answer that there is nothing: what is missing may come at any time. */
const NONE_CEILING = 30;
/** Seconds until a question that failed is asked again: twice as long each time. */
const RETRY_FIRST = 1;
const RETRY_MAX = 30;
/** Targets of an SRV record, and backends of a name: more are left out. */
export const MAX_TARGETS = 64;
export const MAX_OF_NAME = 256;

/** What is said of an answer that has no other addresses than these. */
const UNUSABLE = "it has only addresses that no backend can have: ";

export type Ask = (name: string, type: RecordType) => Promise<Answer>;

interface Question {
  /** Of the last answer that had some, or that said there are none beside others. */
  good: readonly (string | Service)[];
  /** When it was last answered with records, ms; undefined: never. */
  goodMs: number | undefined;
  last: Answer | undefined;
  dueMs: number;
  failures: number;
}

/** What a name means now. */
export interface Meaning {
  /** What it means, by the last good answers. */
  readonly backends: readonly Backend[];
  /** Why that is not what the server says now; null where it is. */
  readonly error: string | null;
  /** When it was last answered with addresses, ms; undefined: never. */
  readonly goodMs: number | undefined;
  /** When the next question is due, ms. */
  readonly dueMs: number;
}

export class Lookups {
  readonly #questions = new Map<string, Question>();

  /** @param now Milliseconds of any clock that only goes forward. */
  constructor(private readonly ask: Ask, private readonly now: () => number) {}

  /** Asks what is due of a name, and finds what it means. */
  async look(name: BackendName): Promise<Meaning> {
    if (name.port !== null) {
      const found = await this.#addresses(name.host);
      const backends = found.addresses.map((address) => backendOf(name, address, name.port!, name.weight));
      return { ...found, backends: backends.slice(0, MAX_OF_NAME) };
    }
    return await this.#service(name);
  }

  /** Forgets the questions that none of these asks. */
  retain(hosts: ReadonlySet<string>): void {
    for (const key of this.#questions.keys()) {
      if (!hosts.has(key.slice(key.indexOf(" ") + 1))) this.#questions.delete(key);
    }
  }

  /** The hosts that a name asks for. */
  hostsOf({ host, port }: BackendName): string[] {
    return port !== null ? [host] : [host, ...this.#targets(host).map(({ target }) => target)];
  }

  #targets(host: string): Service[] {
    const records = this.#questions.get(`SRV ${host}`)?.good ?? [];
    // Port 0 is that of a backend that keeps its clients' ports: no record says so.
    const isUsable = ({ target, port }: Service): boolean => target !== "." && target !== "" && port !== 0;
    return (records as readonly Service[]).filter(isUsable).slice(0, MAX_TARGETS);
  }

  async #service(name: BackendName): Promise<Meaning> {
    const question = await this.#question(name.host, "SRV");
    const services = this.#targets(name.host);
    const found = await Promise.all(services.map(({ target }) => this.#addresses(target)));
    const first = Math.min(...services.map(({ priority }) => priority));
    // A weight of 0 beside others is a small one (RFC 2782); where all are 0, they are alike.
    const hasWeights = services.some(({ weight }) => weight > 0);
    const backends = services.flatMap(({ priority, weight, port }, index): Backend[] =>
      found[index]!.addresses.map((address) => ({
        ...backendOf(name, address, port, name.weight * (hasWeights ? Math.max(1, weight) : 1)),
        ...(priority > first ? { backup: true as const } : {}),
      }))
    );
    const own = errorOf([question]);
    return {
      backends: backends.slice(0, MAX_OF_NAME),
      error: own ?? found.find(({ error }) => error !== null)?.error ?? null,
      goodMs: found.length === 0 ? undefined : question.goodMs,
      dueMs: Math.min(question.dueMs, ...found.map(({ dueMs }) => dueMs)),
    };
  }

  async #addresses(host: string): Promise<Omit<Meaning, "backends"> & { readonly addresses: readonly string[] }> {
    const questions = await Promise.all([this.#question(host, "A"), this.#question(host, "AAAA")]);
    for (const question of questions) keepUnlessNone(question, questions);
    const good = questions.flatMap(({ goodMs }) => goodMs ?? []);
    return {
      addresses: questions.flatMap((question) => question.good as readonly string[]).sort(),
      error: errorOf(questions),
      goodMs: good.length === 0 ? undefined : Math.max(...good),
      dueMs: Math.min(...questions.map(({ dueMs }) => dueMs)),
    };
  }

  /** The question, asked if it is due. */
  async #question(host: string, type: RecordType): Promise<Question> {
    const key = `${type} ${host}`;
    let question = this.#questions.get(key);
    if (question === undefined) {
      question = { good: [], goodMs: undefined, last: undefined, dueMs: -Infinity, failures: 0 };
      this.#questions.set(key, question);
    }
    if (question.dueMs > this.now()) return question;
    const answer = usableOf(await this.ask(host, type));
    question.last = answer;
    if (answer.kind === "failed") {
      question.dueMs = this.now() + 1000 * Math.min(RETRY_FIRST * 2 ** question.failures++, RETRY_MAX);
      return question;
    }
    question.failures = 0;
    question.dueMs = this.now() +
      1000 * Math.min(Math.max(answer.ttl, TTL_FLOOR), answer.kind === "none" ? NONE_CEILING : TTL_CEILING);
    if (answer.kind !== "records") return question;
    question.good = answer.records;
    question.goodMs = this.now();
    return question;
  }
}

/**
 * An answer without the addresses that no backend can have, such as 127.0.0.1 or 0.0.0.0, with which resolvers block
 * names. One that has no others says that there is none.
 */
function usableOf(answer: Answer): Answer {
  if (answer.kind !== "records") return answer;
  const records = answer.records.filter((record) =>
    typeof record !== "string" || readBackend(formatEndpoint({ address: record, port: 0 })) !== undefined
  );
  if (records.length > 0 || answer.records.length === 0) return { ...answer, records };
  return { kind: "none", words: UNUSABLE + firstOf(answer.records.map(String), 200), ttl: answer.ttl };
}

/**
 * Of a question that there is no record for: nothing is left of what it had, unless nothing at all would be left, or
 * nobody knows what the others have.
 */
function keepUnlessNone(question: Question, all: readonly Question[]): void {
  if (question.last?.kind !== "none" || contradicts(question)) return;
  if (all.some(({ last }) => last?.kind === "records")) question.good = [];
}

/** A name that does not exist has nothing at all, so one that had something, and has others, is there. */
function contradicts({ last, good }: Question): boolean {
  return last?.kind === "none" && last.words === NOT_THERE && good.length > 0;
}

function errorOf(questions: readonly Question[]): string | null {
  const none: string[] = [];
  for (const { last } of questions) {
    if (last?.kind === "failed") return last.words;
    if (last?.kind === "none") none.push(last.words);
  }
  if (questions.some(contradicts)) return NOT_THERE;
  if (none.length < questions.length) return null;
  const unusable = none.filter((words) => words.startsWith(UNUSABLE)).map((words) => words.slice(UNUSABLE.length));
  if (unusable.length > 0) return UNUSABLE + unusable.join("; ");
  const isThere = none.every((words) => words !== NOT_THERE);
  return !isThere ? NOT_THERE : none.length > 1 ? "it has neither A nor AAAA records" : none[0]!;
}

function backendOf(
  { host: _, port: __, name: ___, ...settings }: BackendName,
  address: string,
  port: number,
  weight: number,
): Backend {
  const { lastPort } = settings;
  return { ...settings, name: formatEndpoint({ address, port, lastPort }), address, port, weight };
}
