import { useEffect, useState } from "preact/hooks";

import * as api from "./api";
import { submissionOf, type Submission } from "./choices";
import { songName } from "./format";
import { askUntilFound } from "./looking";
import { useSpeech, type Speech } from "./texts";
import { wordsOf } from "./words";

/** An earlier task from which a new one is made. `upload` is absent where its song is a link, or is gone. */
export interface Earlier { id: string; name: string; submission: Submission; link?: string; upload?: string; isGone: boolean }

async function earlierOf(id: string): Promise<Earlier> {
  const task = await api.task(id);
  const found = { id, name: songName(task), submission: submissionOf(task), isGone: false };
  if (!task.audio?.startsWith("upload:")) return { ...found, link: task.audio };
  try {
    const { state } = await api.upload(task.audio.slice("upload:".length));
    return state === "complete" ? { ...found, upload: task.audio } : { ...found, isGone: true };
  } catch (error) {
    if (error instanceof api.ProblemError && !api.isAway(error)) return { ...found, isGone: true };
    throw error;
  }
}

/** Returns the task to begin from, once it is known; `id` is undefined for none. */
export function useEarlier(id: string | undefined): { earlier?: Earlier; problem: string } {
  const { t } = useSpeech();
  const [earlier, setEarlier] = useState<Earlier>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    setEarlier(undefined);
    setProblem("");
    if (!id) return;
    const found = (earlier: Earlier) => {
      setProblem("");
      setEarlier(earlier);
    };
    return askUntilFound(() => earlierOf(id), found, (error) => {
      setProblem(wordsOf(error, t));
      return !api.isAway(error);
    });
  }, [id]);
  // After a change of `id` the task of before is still there for a moment.
  return { earlier: earlier?.id === id ? earlier : undefined, problem };
}

interface EarlierSongProps { earlier?: Earlier; problem: string; submit: (audio: string, name: string) => void }

/**
 * Stands in place of the form until the earlier task is known: a song must not be sent with other choices than its. Then it
 * stands above the form. The link and the status are the same elements before and after, so that the focus stays on the
 * one, and screen readers tell the other's new words.
 */
export function EarlierSong({ earlier, problem, submit }: EarlierSongProps) {
  const { t } = useSpeech();
  const upload = earlier?.upload;
  const isNotice = earlier?.isGone || earlier?.link;
  return (
    <div class="earlier">
      {problem && <p class="problem" role="alert">{problem}</p>}
      <p class={isNotice ? "notice" : undefined} role="status">{earlier ? wayOf(earlier, t) : !problem && t("againAwaited")}</p>
      {upload && (
        <button class="main" type="button" onClick={() => submit(upload, earlier.name)}>{t("submitLink")}</button>
      )}
      <a href="#/">{t("againNot")}</a>
    </div>
  );
}

/** Tells how the song comes to the new task. */
function wayOf({ isGone, link, upload }: Earlier, t: Speech["t"]): string {
  if (isGone) return t("againGone");
  if (link) return t("againLink");
  return upload ? t("againUpload") : "";
}
