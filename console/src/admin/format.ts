/** Numbers and times of the administrators' pages, in the browser's language and time zone. */
import { TAGS } from "../format";
import type { Language } from "../texts";

export const number = (count: number, language: Language) => new Intl.NumberFormat(TAGS[language]).format(count);

/** A point in time without its seconds. */
export const shortMoment = (seconds: number, language: Language) =>
  new Intl.DateTimeFormat(TAGS[language], { dateStyle: "medium", timeStyle: "short" }).format(seconds * 1000);

export const percent = (part: number, language: Language) =>
  new Intl.NumberFormat(TAGS[language], { style: "percent", maximumFractionDigits: 0 }).format(part);

export const hour = (seconds: number, language: Language) =>
  new Intl.DateTimeFormat(TAGS[language], { hour: "2-digit", minute: "2-digit" }).format(seconds * 1000);

/** `20 seconds ago`. A clock that is ahead gives `now`. */
export function ago(seconds: number, language: Language): string {
  const passed = Math.max(0, Math.round(seconds));
  const words = new Intl.RelativeTimeFormat(TAGS[language], { numeric: "auto" });
  if (passed < 90) return words.format(-passed, "second");
  return passed < 5400 ? words.format(-Math.round(passed / 60), "minute") : words.format(-Math.round(passed / 3600), "hour");
}
