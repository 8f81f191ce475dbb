/**
 * Changes on their way to the control thread: one at a time, in turn between those who ask, so that nobody's many keep
 * another's one waiting. One whose client has left is forgotten before it begins.
 *
 * @module
 */
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { HttpError } from "./answers.ts";
import type { Peer } from "./gate.ts";
import type { Answer, Question } from "./question.ts";
import type { Answered } from "./questions.ts";

/** Changes of one user that may be under way or wait. */
export const MAX_OF_ONE = 4;
/** Those of all users but root together. */
export const MAX_OF_ALL = 16;
/** Those of root, who always has places of its own. */
const MAX_OF_ROOT = 16;
/** Between two looks at whose clients have left. */
const LOOK_MS = 250;

interface Options {
  readonly post: (id: number, question: Question) => void;
  /** After this time a client is told that there is no answer. */
  readonly answerMs: number;
  readonly timers?: Timers;
}

/** One change, from before its body is read. Disposed of, it is forgotten, unless it has begun. */
export interface Place extends Disposable {
  ask(question: Question, answered: Answered): void;
}

interface Held {
  readonly peer: Peer;
  asked: { readonly question: Question; readonly answered: Answered; readonly late: Disposable } | undefined;
}

export class Changes implements Disposable {
  /** By user, the one whose turn is next first: what is held, in the order in which it came. */
  readonly #ofUser = new Map<number, Held[]>();
  readonly #options: Required<Options>;
  readonly #looking: Disposable;
  #begun: { readonly id: number; readonly held: Held } | undefined;
  /** Below those of questions. */
  #nextId = -1;

  constructor(options: Options) {
    this.#options = { timers: SYSTEM_TIMERS, ...options };
    this.#looking = this.#options.timers.every(LOOK_MS, () => this.#forgetLeft());
  }

  /** @throws {HttpError} 503 where too many wait. */
  reserve(peer: Peer): Place {
    const { uid } = peer;
    const own = this.#ofUser.get(uid)?.length ?? 0;
    const others = [...this.#ofUser].reduce((sum, [user, held]) => user === 0 ? sum : sum + held.length, 0);
    if (own >= (uid === 0 ? MAX_OF_ROOT : MAX_OF_ONE)) throw full(`${own} changes of user ${uid} wait already`);
    if (uid !== 0 && others >= MAX_OF_ALL) throw full(`${others} changes wait already`);
    const held: Held = { peer, asked: undefined };
    if (own === 0) this.#ofUser.set(uid, [held]);
    else this.#ofUser.get(uid)!.push(held);
    return {
      ask: (question, answered) => {
        const { timers, answerMs } = this.#options;
        const late = timers.after(answerMs, () => {
          if (this.#begun?.held !== held) this.#forget(held);
          answered(undefined);
        });
        held.asked = { question, answered, late };
        this.#next();
      },
      [Symbol.dispose]: () => {
        if (this.#begun?.held !== held) this.#forget(held);
      },
    };
  }

  /** @returns False for an answer to somebody else. */
  answer(id: number, answer: Answer): boolean {
    if (this.#begun?.id !== id) return false;
    const { held } = this.#begun;
    this.#begun = undefined;
    const answered = held.asked?.answered;
    this.#forget(held);
    const { uid } = held.peer;
    const more = this.#ofUser.get(uid);
    if (more !== undefined && this.#ofUser.delete(uid)) this.#ofUser.set(uid, more); // others come first now
    answered?.(answer);
    this.#next();
    return true;
  }

  [Symbol.dispose](): void {
    this.#looking[Symbol.dispose]();
    for (const held of [...this.#ofUser.values()].flat()) this.#forget(held);
  }

  #next(): void {
    if (this.#begun !== undefined) return;
    this.#forgetLeft();
    for (const all of this.#ofUser.values()) {
      const held = all.find(({ asked }) => asked !== undefined);
      if (held === undefined) continue;
      this.#begun = { id: this.#nextId--, held };
      return this.#options.post(this.#begun.id, held.asked!.question);
    }
  }

  #forgetLeft(): void {
    for (const held of [...this.#ofUser.values()].flat()) {
      if (held === this.#begun?.held || !held.peer.hasLeft()) continue;
      const { asked } = held;
      this.#forget(held);
      asked?.answered(undefined); // which ends the connection
    }
  }

  #forget(held: Held): void {
    held.asked?.late[Symbol.dispose]();
    const { uid } = held.peer;
    const left = (this.#ofUser.get(uid) ?? []).filter((one) => one !== held);
    if (left.length === 0) this.#ofUser.delete(uid);
    else this.#ofUser.set(uid, left);
  }
}

function full(message: string): HttpError {
  return new HttpError(503, message, { "retry-after": "1" });
}
