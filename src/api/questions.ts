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
  #asked: { readonly id: number; readonly clients: Asked["clients"] } | undefined;
  /** While the control thread is left alone. */
  #resting: Disposable | undefined;
  static #nextId = 1;

  constructor(options: QuestionsOptions) {
    this.#options = { timers: SYSTEM_TIMERS, ...options };
    this.#looking = this.#options.timers.every(LOOK_MS, () => this.#look());
  }

  /**
   * Asks. What is answered is never older than this call.
   *
   * @param key The same for questions that have the same answer.
   */
  ask(key: string, question: Question, answered: Answered): void {
    let asked = this.#waiting.get(key);
    if (asked === undefined) this.#waiting.set(key, asked = { question, clients: [] });
    asked.clients.push({ answered, askedMs: this.#options.timers.now() });
    this.#next();
  }

  /** @param tookMs What the answer took of the control thread's time. @returns False for an answer to somebody else. */
  answer(id: number, answer: Answer, tookMs: number): boolean {
    if (this.#asked?.id !== id) return false;
    const { clients } = this.#asked;
    this.#asked = undefined;
    this.#resting = this.#options.timers.after(tookMs * this.#options.rest, () => {
      this.#resting = undefined;
      this.#next();
    });
    for (const { answered } of clients) answered(answer);
    return true;
  }

  /** Different questions that wait, and the one that is asked. */
  get size(): number {
    return this.#waiting.size + (this.#asked === undefined ? 0 : 1);
  }

  [Symbol.dispose](): void {
    this.#looking[Symbol.dispose]();
    this.#resting?.[Symbol.dispose]();
  }

  #next(): void {
    if (this.#asked !== undefined || this.#resting !== undefined) return;
    for (const [key, { question, clients }] of this.#waiting) {
      this.#waiting.delete(key);
      if (clients.length === 0) continue; // told meanwhile that there is no answer
      const id = Questions.#nextId++;
      this.#asked = { id, clients };
      return this.#options.post(id, question);
    }
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
