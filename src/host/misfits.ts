/**
 * What the log says of a machine that packets are steered on all the same: the doctor's answers, as far as they cost
 * packets.
 *
 * @module
 */
import { messageOf } from "../errors.ts";
import { logger } from "../log.ts";
import { LOSS_CHECKS } from "./interface_checks.ts";
import type { Circumstances, Verdict } from "./question.ts";
import { RULE_CHECKS } from "./rule_checks.ts";

const log = logger("host");

export class MisfitLog {
  #told: ReadonlySet<string> = new Set();

  /** Logs a warning for each answer that is not as it should be, and was not told the last time. @returns them. */
  tell(circumstances: Circumstances): readonly string[] {
    const { interfaces } = circumstances;
    const lines = new Set([
      ...RULE_CHECKS.flatMap(({ look }) => wordsOf("", () => look(circumstances))),
      ...interfaces.flatMap((config) =>
        LOSS_CHECKS.flatMap(({ look }) => wordsOf(`Interface ${config.name}: `, () => look(config, circumstances)))
      ),
    ]);
    const news = [...lines].filter((line) => !this.#told.has(line));
    for (const misfit of news) log.warn("{misfit}", { misfit });
    this.#told = lines;
    return news;
  }
}

function wordsOf(where: string, look: () => Verdict | undefined): string[] {
  try {
    const verdict = look();
    if (verdict === undefined || verdict.status === "ok") return [];
    const sentence = `${where}${verdict.text}${verdict.fix === undefined ? "" : `. Fix: ${verdict.fix}`}`;
    return [sentence[0]!.toUpperCase() + sentence.slice(1)];
  } catch (error) {
    log.debug("A look at the machine failed: {error}", { error: messageOf(error) });
    return [];
  }
}
