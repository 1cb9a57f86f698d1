/** Reads parts of a stem's file from the bucket, and waits where the network does not work. */
import { type Read, Unplayable } from "./stem_file.ts";

/** The address of a stem, which works for some time only. */
export interface Link {
  url: string;
  /** Asks the API for an address that works. Returns nothing where the stem is gone, and throws where no answer came. */
  renew: () => Promise<string | undefined>;
}

// A link whose time is over, as stores say it.
const REFUSED = [400, 401, 403, 410];
const MOST_PAUSE_MS = 8000;
// A connection may die without a word.
const TIMEOUT_MS = 60_000;

/** Returns how to read the file. What can pass is tried again until `signal` aborts; else Unplayable is thrown. */
export function readerOf(link: Link, pause: (ms: number, signal: AbortSignal) => Promise<void> = paused): Read {
  return async (from, to, signal) => {
    let isRenewed = false;
    for (let tries = 1; ; tries++) {
      const { bytes, status } = await bytesOf(link.url, from, to, signal);
      if (bytes) return bytes;
      const mayBeOver: boolean = !isRenewed && REFUSED.includes(status);
      if (isForGood(status) && !mayBeOver) throw new Unplayable(`the store answers HTTP ${status}`);
      if (!mayBeOver) await pause(Math.min(250 * 2 ** tries, MOST_PAUSE_MS), signal);
      // A refusal that the page may not read looks like a network that does not work.
      const isFresh: boolean = (mayBeOver || tries > 1) && (await renewed(link));
      if (mayBeOver) isRenewed = isFresh;
      if (mayBeOver && !isFresh) await pause(MOST_PAUSE_MS, signal);
    }
  };
}

const isForGood = (status: number) => status > 0 && status < 500 && status !== 429;

/** Returns whether the API has answered with a new address. */
async function renewed(link: Link): Promise<boolean> {
  const url = await link.renew().catch(() => null);
  if (url === undefined) throw new Unplayable("the song has no such stem any more");
  link.url = url ?? link.url;
  return url !== null;
}

/** Returns the bytes, or the status of an answer without them: 0 where there was no whole answer. */
export async function bytesOf(url: string, from: number, to: number, signal: AbortSignal) {
  const either = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    const answer = await fetch(url, { headers: { Range: `bytes=${from}-${to - 1}` }, cache: "no-store", signal: either });
    if (answer.status !== 206) {
      // A store that knows no ranges would send all of an hour.
      void answer.body?.cancel();
      return { status: answer.status };
    }
    const bytes = new Uint8Array(await answer.arrayBuffer());
    return bytes.length === to - from ? { bytes, status: 206 } : { status: 0 };
  } catch {
    signal.throwIfAborted();
    return { status: 0 };
  }
}

function paused(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
