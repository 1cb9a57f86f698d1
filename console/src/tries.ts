/** Sends a song again while the API is away, starts or has no room for another one. */
import { paused, unlessStopped } from "./pause.ts";
import { isAway, isUnanswered, ProblemError } from "./problem.ts";

const RETRY_MS = 3000;
const MOST_BROKEN = 3;
// An API that has no room says when to ask again. It may err, and a proxy in front of it as well.
const LEAST_FULL_S = 30;
const MOST_FULL_S = 3600;
// The API refuses a file only after its browser has sent all of it. A larger one is not sent for nothing again and again.
const MOST_RESENT_BYTES = 20e6;
// Such room comes by what the user deletes, or after a day. Other songs may fit meanwhile, and have their turn.
const USED_UP = "too_many_uploaded_bytes";

/** Why a song waits. Where the API has no room, `words` are its own, and `until_s` is in seconds since the epoch. */
export interface Wait { words: string; until_s?: number }

interface Way {
  /** The size of the song's file; 0 for a link. */
  bytes: number;
  stop: AbortSignal;
  /** Hears why the song waits; undefined once it is sent again. */
  tell: (wait?: Wait) => void;
  /** Whether the API answers another question. */
  isThere: () => Promise<boolean>;
  pause?: typeof paused;
}

/** The caller's key makes one task of all that arrive. Throws what no repetition can mend, and the reason of `stop`. */
export async function untilTaken(send: () => Promise<unknown>, { bytes, stop, tell, isThere, pause = paused }: Way): Promise<void> {
  let broken = 0;
  for (;;) {
    stop.throwIfAborted();
    try {
      await unlessStopped(send(), stop);
      return;
    } catch (error) {
      const full_s = untilRoom_s(error, bytes);
      if (full_s === undefined && !isAway(error)) throw error;
      // An API that is there and breaks off refuses what is sent, such as a file that is too large for its proxy.
      if (isUnanswered(error) && (await unlessStopped(isThere(), stop))) broken++;
      if (broken === MOST_BROKEN) throw error;
      tell(full_s === undefined ? { words: "" } : { words: wordsOf(error), until_s: Date.now() / 1000 + full_s });
      await pause(full_s === undefined ? RETRY_MS : 1000 * full_s, stop);
      tell();
    }
  }
}

/** Whether a song that failed so may be taken when its user sends it again. */
export function mayPass(error: unknown): boolean {
  if (!(error instanceof ProblemError)) return false;
  return [0, 408, 429].includes(error.status) || (error.status >= 500 && error.status !== 501);
}

/**
 * Returns the seconds until a song is sent again for which there is no room; undefined where that is not the problem, or
 * where its user decides when to send it.
 */
function untilRoom_s(error: unknown, bytes: number): number | undefined {
  if (!(error instanceof ProblemError) || error.status !== 429) return undefined;
  if (bytes > MOST_RESENT_BYTES || error.code === USED_UP) return undefined;
  return Math.min(Math.max(error.retryAfter_s ?? 0, LEAST_FULL_S), MOST_FULL_S);
}

/** Returns the error's words without the full stop, for a sentence that goes on. */
const wordsOf = (error: unknown) => (error as Error).message.replace(/\.$/, "");
