/** The page's words, from one table for each language. */
import { createContext } from "preact";
import { useContext } from "preact/hooks";

import { adminEn } from "./admin/texts/en";
import { adminZh } from "./admin/texts/zh";
import { en } from "./texts/en";
import { zh } from "./texts/zh";

export type Words = Record<keyof typeof en, string>;
export type Key = keyof typeof en | keyof typeof adminEn;
export type Language = "en" | "zh";

const TABLES: Record<Language, Record<Key, string>> = { en: { ...en, ...adminEn }, zh: { ...zh, ...adminZh } };
const STORED = "uvr.language";

export const LANGUAGES: [Language, string][] = [["en", "English"], ["zh", "简体中文"]];

export function firstLanguage(): Language {
  const stored = localStorage.getItem(STORED);
  if (stored === "en" || stored === "zh") return stored;
  return navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag))?.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function remember(language: Language): void {
  localStorage.setItem(STORED, language);
}

export const LanguageContext = createContext<Language>("en");

export interface Speech {
  language: Language;
  /** Returns the text with each `{name}` replaced. */
  t: (key: Key, values?: Record<string, string | number>) => string;
}

export function useSpeech(): Speech {
  const language = useContext(LanguageContext);
  return {
    language,
    // An API may be newer than a page that is still open, and have words that its table does not know.
    t: (key, values = {}) => (TABLES[language][key] ?? key.replace(/^.*?_/, "")).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? "")),
  };
}
