/**
 * Questions on their way to the control thread: one at a time, so that no number of clients takes more than a share of
 * its time. Requests for the same thing are one question.
 *
 * @module
 */
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import type { Answer, Question } from "./question.ts";

/** Between two looks at who has waited for too long. */
const LOOK_MS = 500;

/** Called once; without an answer when none came in time. */
export type Answered = (answer: Answer | undefined) => void;

interface Asked {
  readonly question: Question;
  /** From one answer to the next question of its kind, in milliseconds. */
  readonly apartMs: number;
  readonly clients: { readonly answered: Answered; readonly askedMs: number }[];
}

export interface QuestionsOptions {
  readonly post: (id: number, question: Question) => void;
  /** How long the control thread is left alone after an answer, in times that the answer took it. */
  readonly rest: number;
  /** After this time a client is told that there is no answer. */
  readonly answerMs: number;
  readonly timers?: Timers;
}

export class Questions implements Disposable {
  /** By what is asked, in the order in which it was. */
  readonly #waiting = new Map<string, Asked>();
  readonly #options: Required<QuestionsOptions>;
  readonly #looking: Disposable;
  #asked: (Pick<Asked, "apartMs" | "clients"> & { readonly id: number; readonly key: string }) | undefined;
  /** Whether what was asked last was to be answered at once. */
  #wasAtOnce = false;
  /** While the control thread is left alone. */
  #resting: Disposable | undefined;
  /** By key: before then it is not asked again. */
  readonly #notBefore = new Map<string, number>();
  /** Until the first of those that wait may be asked. */
  #until: Disposable | undefined;
  static #nextId = 1;

  constructor(options: QuestionsOptions) {
    this.#options = { timers: SYSTEM_TIMERS, ...options };
    this.#looking = this.#options.timers.every(LOOK_MS, () => this.#look());
  }

  /**
   * Asks. What is answered is never older than this call.
   *
   * @param key The same for questions that have the same answer.
   * @param apartMs Between an answer and the next question with this key: all who come meanwhile wait, and share it.
   */
  ask(key: string, question: Question, answered: Answered, apartMs = 0): void {
    let asked = this.#waiting.get(key);
    if (asked === undefined) this.#waiting.set(key, asked = { question, apartMs, clients: [] });
    asked.clients.push({ answered, askedMs: this.#options.timers.now() });
    this.#next();
  }

  /** @param tookMs What the answer took of the control thread's time. @returns False for an answer to somebody else. */
  answer(id: number, answer: Answer, tookMs: number): boolean {
    if (this.#asked?.id !== id) return false;
    const { key, apartMs, clients } = this.#asked;
    this.#asked = undefined;
    if (apartMs > 0) this.#notBefore.set(key, this.#options.timers.now() + apartMs);
    this.#resting = this.#options.timers.after(tookMs * this.#options.rest, () => {
      this.#resting = undefined;
      this.#next();
    });
    for (const { answered } of clients) answered(answer);
    return true;
  }

  [Symbol.dispose](): void {
    this.#looking[Symbol.dispose]();
    this.#resting?.[Symbol.dispose]();
    this.#until?.[Symbol.dispose]();
  }

  #next(): void {
    if (this.#asked !== undefined || this.#resting !== undefined) return;
    const { timers, post } = this.#options;
    const now = timers.now();
    for (const [key, atMs] of this.#notBefore) {
      if (atMs <= now) this.#notBefore.delete(key);
    }
    let soonest = Infinity;
    for (const [key, { question, apartMs, clients }] of this.#inTurn()) {
      const notBefore = this.#notBefore.get(key);
      if (notBefore !== undefined) {
        soonest = Math.min(soonest, notBefore);
        continue;
      }
      this.#waiting.delete(key);
      if (clients.length === 0) continue; // told meanwhile that there is no answer
      const id = Questions.#nextId++;
      this.#asked = { id, key, apartMs, clients };
      this.#wasAtOnce = apartMs === 0;
      return post(id, question);
    }
    this.#until?.[Symbol.dispose]();
    this.#until = soonest === Infinity ? undefined : timers.after(soonest - now, () => this.#next());
  }

  /** What is to be answered at once comes first, but not always: what others ask comes after each of it. */
  #inTurn(): [string, Asked][] {
    const all = [...this.#waiting];
    const isFirst = ([, { apartMs }]: [string, Asked]): boolean => (apartMs === 0) !== this.#wasAtOnce;
    return [...all.filter(isFirst), ...all.filter((one) => !isFirst(one))];
  }

  #look(): void {
    const { answerMs, timers } = this.#options;
    const all = [...this.#waiting.values()].map(({ clients }) => clients);
    if (this.#asked !== undefined) all.push(this.#asked.clients);
    for (const clients of all) {
      const late = clients.filter(({ askedMs }) => timers.now() - askedMs > answerMs);
      if (late.length === 0) continue;
      clients.splice(0, clients.length, ...clients.filter((client) => !late.includes(client)));
      for (const { answered } of late) answered(undefined);
    }
  }
}
