/**
 * What the thread that has the connections answers by itself: files, and requests that nobody may make.
 *
 * @module
 */
import { HttpError, targetOf } from "./answers.ts";
import { requirePath } from "./paths.ts";
import type { Answer, Question } from "./question.ts";

/**
 * @param socket The control socket, for messages.
 * @returns undefined for what the control thread has to answer.
 * @throws {HttpError} 400, 403, 404 and 405.
 */
export async function answerHere(
  { method, url, mayChange }: Pick<Question, "method" | "url" | "mayChange">,
  socket: string,
): Promise<Answer | undefined> {
  const target = targetOf(url);
  if (requirePath(target, method, mayChange, socket) !== "/") return undefined;
  const { dashboardFile } = await import("./dashboard.ts"); // for when somebody looks
  const file = dashboardFile(target.pathname);
  if (file === undefined) throw new HttpError(404, "the dashboard has no such file");
  return file;
}
