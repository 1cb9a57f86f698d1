/** Opens stems for playing: in pieces where their format and the bucket allow it, else by media elements. */
import { bytesOf, type Link, readerOf } from "./bytes.ts";
import { FlacFile } from "./flac.ts";
import { MOST_BITS } from "./flac_decode.ts";
import { BLOCK_HEAD_BYTES, INFO_BYTES, infoOf, isFlac, MARK_BYTES, metadataBlock } from "./flac_frames.ts";
import { type Read, type StemFile, Unplayable } from "./stem_file.ts";
import { WavFile, wavInfoOf } from "./wav.ts";

export interface Stem extends Link {
  /** The size of the file. */
  bytes: number;
  duration_s: number;
}

// Enough for the beginning of a WAV, and of a FLAC without a picture.
const HEAD_BYTES = 16 << 10;
const LOSSLESS = /\.(wav|flac)$/i;

/** Returns the stems' files; undefined where they are to be played otherwise. */
export async function openPieces(stems: Stem[], signal: AbortSignal): Promise<StemFile[] | undefined> {
  if (!stems.every(({ url }) => LOSSLESS.test(new URL(url, location.href).pathname))) return undefined;
  const files = await Promise.all(stems.map((stem) => openOne(stem, signal).catch(() => undefined)));
  const opened = files.filter((file) => file !== undefined);
  return opened.length === stems.length ? opened : undefined;
}

async function openOne(stem: Stem, signal: AbortSignal): Promise<StemFile | undefined> {
  // Once only: a bucket that forbids the page to read the file is not told from a network that does not work.
  const { bytes: head } = await bytesOf(stem.url, 0, Math.min(HEAD_BYTES, stem.bytes), signal);
  if (!head) return undefined;
  const read = readerOf(stem);
  if (isFlac(head)) return openFlac(stem, head, read, signal);
  const info = wavInfoOf(head, stem.bytes);
  return info && new WavFile(info, read);
}

async function openFlac(stem: Stem, head: Uint8Array<ArrayBuffer>, read: Read, signal: AbortSignal): Promise<StemFile> {
  const info = infoOf(head);
  if (!info || info.bits > MOST_BITS) throw new Unplayable("the file is no FLAC that can be decoded here");
  let start = INFO_BYTES;
  let isLast = metadataBlock(head, MARK_BYTES).isLast;
  while (!isLast) {
    const block = start + BLOCK_HEAD_BYTES;
    const at = block <= head.length ? head.subarray(start, block) : await read(start, block, signal);
    const { bytes, ...rest } = metadataBlock(at, 0);
    [start, isLast] = [start + bytes, rest.isLast];
  }
  const length = info.length || Math.round(stem.duration_s * info.rate_hz);
  return new FlacFile(info, start, length, stem.bytes, read);
}
