/** Answers that are no success: an error of the API, a proxy's page, or none at all. */

interface Details { code?: string; retryAfter_s?: number }

/**
 * An answer that is an error, in the words of the API. `status` is 0 where there was no answer of the API. There are no
 * words where a proxy answered for an API that did not.
 */
export class ProblemError extends Error {
  readonly status: number;
  readonly code?: string;
  /** When to ask again, where the answer said so. */
  readonly retryAfter_s?: number;

  constructor(status: number, detail: string, { code, retryAfter_s }: Details = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retryAfter_s = retryAfter_s;
  }
}

// No answer; a proxy without its API; an API without Kafka or its store.
const AWAY = new Set([0, 502, 503, 504]);

/** Whether the API may answer the same request later. */
export function isAway(error: unknown): boolean {
  return error instanceof ProblemError && AWAY.has(error.status);
}

/** Whether there was no answer of the API at all. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof ProblemError && error.status === 0;
}

/** Returns the problem that an answer tells. `retryAfter` is the header of this name. */
export function problemOf(status: number, text: string, retryAfter?: string | null): ProblemError {
  let body: { detail?: string; error_code?: string } | null = null;
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy's own page.
  }
  const unsaid = AWAY.has(status) ? "" : `HTTP ${status}`;
  const details = { code: body?.error_code, retryAfter_s: secondsUntil(retryAfter) };
  return new ProblemError(status, body?.detail ?? unsaid, details);
}

/** Reads `Retry-After`, which has seconds or a date. */
function secondsUntil(header: string | null | undefined): number | undefined {
  if (!header) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

/**
 * Reads what a success says, which has the field `named`. Anything else is a proxy's page, such as one to sign in, and the
 * API has not answered.
 */
export function said<T>(text: string, named?: keyof T): T {
  let body: T | undefined;
  try {
    body = JSON.parse(text);
  } catch {
    // The same as a body without the field.
  }
  if (typeof body !== "object" || body === null || (named && body[named] === undefined)) throw new ProblemError(0, "");
  return body;
}
