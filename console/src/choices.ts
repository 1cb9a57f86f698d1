/** What a submission says beside the song, in the words of the API, and what fits together. */
import { clock } from "./format.ts";

export interface Output {
  format?: string;
  bit_depth?: number;
  sample_rate?: number | string;
  bitrate_kbps?: number;
  normalize?: string;
  tags?: string;
}

export interface Choices {
  preset?: string;
  model?: string;
  models?: string[];
  ensemble?: string;
  weights?: number[];
  stems?: string[];
  output?: Output;
  start_s?: number;
  duration_s?: number;
}

export interface Submission extends Choices {
  hook_url?: string;
  label?: string;
  metadata?: Record<string, unknown>;
  priority?: number;
  cache?: string;
}

export const FORMATS = ["wav", "flac", "mp3", "m4a", "ogg"];
export const SAMPLE_RATES = ["source", 44100, 48000, 88200, 96000];
export const BITRATES_KBPS = [96, 128, 160, 192, 224, 256, 320];
export const LOUDNESSES = ["peak", "lufs:-9", "lufs:-14", "lufs:-16", "lufs:-23"];

/** The depths in bits that a format has; none where it has no choice of them. */
export function depthsOf(format: string | undefined): number[] {
  if (format === "wav") return [16, 24, 32];
  return format === "flac" ? [16, 24] : [];
}

export function hasBitrate(format: string | undefined): boolean {
  return format === "mp3" || format === "m4a" || format === "ogg";
}

/** Returns the output with a change, without what its format does not have. */
export function changedOutput(output: Output | undefined, change: Output): Output | undefined {
  const changed = { ...output, ...change };
  if (!depthsOf(changed.format).includes(changed.bit_depth ?? 0)) delete changed.bit_depth;
  if (!hasBitrate(changed.format)) delete changed.bitrate_kbps;
  return withoutEmpty(changed);
}

/** Returns the fields that say something; undefined where none does. */
export function withoutEmpty<T extends object>(fields: T): T | undefined {
  const said = Object.entries(fields).filter(([, value]) => !isEmpty(value));
  return said.length ? (Object.fromEntries(said) as T) : undefined;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);
}

/** Returns the body of a submission of an address. */
export function bodyOf(audio: string, submission: Submission): string {
  return JSON.stringify({ audio, ...withoutEmpty(submission) });
}

/** Returns the fields of a form that says the same. Lists and objects are JSON. */
export function fieldsOf(submission: Submission): [name: string, value: string][] {
  return Object.entries(withoutEmpty(submission) ?? {}).map(([name, value]) => [
    name,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
}

/** Reads `90`, `1:30`, `1 : 30`, `1:00:05`, `12.5` or `１：３０` as seconds. Returns undefined for other text. */
export function secondsOf(text: string): number | undefined {
  // Digits and colons of Chinese keyboards may be as wide as other characters.
  const plain = text.normalize("NFKC").trim().replace(/\s*:\s*/g, ":");
  if (!/^\d+(:[0-5]?\d){0,2}([.,]\d+)?$/.test(plain)) return undefined;
  const seconds = plain.replace(",", ".").split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
  return Number.isFinite(seconds) ? seconds : undefined;
}

/** Returns the text that is read as these seconds. */
export function timeOf(seconds: number): string {
  const ms = Math.round(1000 * seconds);
  return clock(Math.floor(ms / 1000)) + String((ms % 1000) / 1000).slice(1);
}

export type Time = "start_s" | "duration_s";

/**
 * The texts of a form that are no times, how often sending was refused for them, and the field that was asked for the last
 * time. Typing changes neither of the two, so that the focus stays where it is.
 */
export interface Unread { texts: Partial<Record<Time, string>>; refusals: number; asked?: Time }

export const ALL_READ: Unread = { texts: {}, refusals: 0 };

/** Returns what cannot be read once a field has this text. An empty field has nothing to read. */
export function afterTyping(unread: Unread, field: Time, text: string): Unread {
  const { [field]: _, ...others } = unread.texts;
  if (text.trim() && secondsOf(text) === undefined) return { ...unread, texts: { ...others, [field]: text } };
  return Object.keys(others).length ? { ...unread, texts: others } : ALL_READ;
}

/** Returns what cannot be read once sending was refused for it: the user is asked for the first such field. */
export function afterRefusal(unread: Unread): Unread {
  return { ...unread, refusals: unread.refusals + 1, asked: firstUnread(unread) };
}

/** Returns the first field of the form that cannot be read. */
export function firstUnread({ texts }: Unread): Time | undefined {
  return (["start_s", "duration_s"] as const).find((field) => texts[field] !== undefined);
}

/** What was chosen for a task, as the form has it. The callback's address is not told to anybody. */
export function submissionOf(task: {
  choices?: Choices;
  label?: string;
  metadata?: Record<string, unknown>;
  priority?: number;
}): Submission {
  const { choices, label, metadata, priority } = task;
  return withoutEmpty<Submission>({ ...choices, label, metadata, priority }) ?? {};
}
