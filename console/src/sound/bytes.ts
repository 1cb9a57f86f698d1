/** Reads parts of a stem's file from the bucket, and waits where the network does not work. */
import { paused } from "../pause.ts";
import { type Read, Unplayable } from "./stem_file.ts";

/** The address of a stem, which works for some time only. */
export interface Link {
  url: string;
  /** Asks the API for an address that works. Returns nothing where the stem is gone; throws where no answer came. */
  renew: () => Promise<string | undefined>;
}

// A link whose time is over, as stores say it.
const REFUSED = [400, 401, 403, 410];
const MOST_PAUSE_MS = 8000;
// A connection may die without a word.
const TIMEOUT_MS = 60_000;

/**
 * Returns how to read the file. What can pass is tried again until `signal` aborts; else Unplayable is thrown.
 *
 * What has been read is there until the next read, which uses the same memory again.
 */
export function readerOf(link: Link, pause = paused): Read {
  const space = new Space();
  return async (from, to, signal) => {
    let isRenewed = false;
    for (let tries = 1; ; tries++) {
      const { bytes, status } = await bytesOf(link.url, from, to, signal, space);
      if (bytes) return bytes;
      const mayBeOver: boolean = !isRenewed && REFUSED.includes(status);
      if (isForGood(status) && !mayBeOver) throw new Unplayable(`the store answers HTTP ${status}`);
      if (!mayBeOver) await pause(pauseAfter(tries), signal);
      // A refusal that the page may not read looks like a network that does not work.
      const isFresh: boolean = (mayBeOver || tries > 1) && (await renewed(link));
      if (mayBeOver) isRenewed = isFresh;
      if (mayBeOver && !isFresh) await pause(MOST_PAUSE_MS, signal);
    }
  };
}

/** Returns the milliseconds to wait after so many tries that failed. */
export const pauseAfter = (tries: number) => Math.min(250 * 2 ** tries, MOST_PAUSE_MS);

const isForGood = (status: number) => status > 0 && status < 500 && status !== 429;

/** Returns whether the API has answered with a new address. Throws Unplayable where the stem is gone. */
export async function renewed(link: Link): Promise<boolean> {
  const url = await link.renew().catch(() => null);
  if (url === undefined) throw new Unplayable("the song has no such stem any more");
  link.url = url ?? link.url;
  return url !== null;
}

/** Returns the bytes, or the status of an answer without them: 0 where there was no whole answer. */
export async function bytesOf(url: string, from: number, to: number, signal: AbortSignal, space = new Space()) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), TIMEOUT_MS);
  const either = AbortSignal.any([signal, late.signal]);
  try {
    const headers = { Range: `bytes=${from}-${to - 1}` };
    const answer = await fetch(url, { headers, cache: "no-store", signal: either });
    if (answer.status !== 206) {
      // A store that knows no ranges would send all of an hour.
      void answer.body?.cancel();
      return { status: answer.status };
    }
    const bytes = await space.read(answer, to - from);
    return bytes ? { bytes, status: 206 } : { status: 0 };
  } catch {
    signal.throwIfAborted();
    return { status: 0 };
  } finally {
    clearTimeout(timer);
  }
}

/** Memory for what is read. Browsers free that of each answer only after hundreds of megabytes. */
class Space {
  private bytes = new Uint8Array(0);
  private reader?: ReadableStreamDefaultReader<Uint8Array>;

  /** Returns the answer's bytes; undefined where there are fewer of them. */
  async read(answer: Response, length: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const reader = answer.body!.getReader();
    if (this.bytes.length < length) this.bytes = new Uint8Array(Math.ceil(1.5 * length));
    const { bytes } = this;
    this.reader = reader;
    for (let at = 0; at < length; ) {
      const { value, done } = await reader.read();
      // A read that was given up must not write where the next one does.
      if (done || this.reader !== reader) return undefined;
      bytes.set(value.subarray(0, length - at), at);
      at += value.length;
    }
    return bytes.subarray(0, length);
  }
}
