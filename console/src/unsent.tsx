import { useSpeech } from "./texts";

/** Songs whose sending a session's end has stopped. The one that was under way may have arrived. */
export interface Unsent { user: string; names: string[] }

interface Props { unsent: Unsent; user: string | null; dismiss: () => void }

/** Says which songs these are. Only their own user sees the names. */
export function UnsentNotice({ unsent: { user: theirs, names }, user, dismiss }: Props) {
  const { t } = useSpeech();
  return (
    <div class="notice unsent" role="alert">
      <p>{user === theirs ? t("unsent", { names: names.join(", ") }) : t("unsentCount", { count: names.length })}</p>
      {user && <button type="button" onClick={dismiss}>{t("dismiss")}</button>}
    </div>
  );
}
