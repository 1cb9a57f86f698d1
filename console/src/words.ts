import { ProblemError } from "./api";
import type { Speech } from "./texts";

/** Returns what went wrong in the words of the API. */
export function wordsOf(error: unknown, t: Speech["t"]): string {
  if (error instanceof ProblemError) return error.status ? error.message : t("noAnswer");
  return String(error);
}
