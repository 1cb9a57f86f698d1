/** Numbers and times as people read them, in the browser's time zone. */
import type { Task } from "./api";
import type { Language } from "./texts";

export const TAGS: Record<Language, string> = { en: "en-GB", zh: "zh-CN" };

const made = new Map<string, unknown>();

/** Returns what `make` makes, once for each key: a list has hundreds of times, and a formatter takes long to make. */
function once<T>(key: string, make: () => T): T {
  if (!made.has(key)) made.set(key, make());
  return made.get(key) as T;
}

function timeFormat(language: Language, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return once(language + JSON.stringify(options), () => new Intl.DateTimeFormat(TAGS[language], options));
}

function numberFormat(language: Language, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  return once(language + JSON.stringify(options), () => new Intl.NumberFormat(TAGS[language], options));
}

export function moment(seconds: number, language: Language): string {
  return timeFormat(language, { dateStyle: "medium", timeStyle: "medium" }).format(seconds * 1000);
}

/** Leaves the day out where it is the day of `since`, in the browser's time zone. */
export function momentAfter(seconds: number, since: number, language: Language): string {
  const isSameDay = new Date(seconds * 1000).toDateString() === new Date(since * 1000).toDateString();
  if (!isSameDay) return moment(seconds, language);
  return timeFormat(language, { timeStyle: "medium" }).format(seconds * 1000);
}

/** `part` is 0 to 1. */
export function percent(part: number, language: Language): string {
  return numberFormat(language, { style: "percent" }).format(part);
}

/** `1:05`, `1:00:05`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n: number) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function duration(seconds: number, language: Language): string {
  const [amount, unit] =
    seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
  const digits = amount < 10 ? 1 : 0;
  return numberFormat(language, { style: "unit", unit, maximumFractionDigits: digits }).format(amount);
}

export function bytes(count: number, language: Language): string {
  const options = { style: "unit", unit: "megabyte", maximumFractionDigits: 1 } as const;
  return numberFormat(language, options).format(count / 1e6);
}

/** The name under which people know the song. */
export function songName(task: Task): string {
  if (task.label) return task.label;
  if (task.file_name) return task.file_name;
  const last = (task.audio ?? "").split("/").filter(Boolean).pop();
  if (!last || last.startsWith("upload:")) return task.task_uuid;
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

export const FINAL = new Set(["succeeded", "failed", "cancelled"]);
