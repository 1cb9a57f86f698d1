import { ProblemError } from "./api";
import type { Speech } from "./texts";

/**
 * Returns what went wrong in the words of the API. Without an answer these are `noAnswer`, which is true of questions that
 * the page asks again by itself. An action that a repetition does not harm takes `noAnswerOnce`, others `noAnswerUnclear`:
 * the API may have done what its answer did not tell.
 */
export function wordsOf(
  error: unknown,
  t: Speech["t"],
  unanswered: "noAnswer" | "noAnswerOnce" | "noAnswerUnclear" = "noAnswer",
): string {
  if (error instanceof ProblemError) return error.status ? error.message : t(unanswered);
  return String(error);
}
