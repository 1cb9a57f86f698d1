import { ProblemError, isAway } from "./api";
import type { Speech } from "./texts";

/**
 * Returns what went wrong in the words of the API. Without an answer of the API these are `noAnswer`, which is true of
 * questions that the page asks again by itself. An action that a repetition does not harm takes `noAnswerOnce`, others
 * `noAnswerUnclear`: the API may have done what its answer did not tell.
 */
export function wordsOf(
  error: unknown,
  t: Speech["t"],
  unanswered: "noAnswer" | "noAnswerOnce" | "noAnswerUnclear" = "noAnswer",
): string {
  if (!(error instanceof ProblemError)) return String(error);
  return error.message || (isAway(error) ? t(unanswered) : "");
}
