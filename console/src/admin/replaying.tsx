import { useState } from "preact/hooks";

import { useSpeech } from "../texts";
import { wordsOf } from "../words";
import * as api from "./api";

/** Returns a function that replays letters, how far it is, and what became of each. */
export function useReplay() {
  const { t } = useSpeech();
  const [told, setTold] = useState<api.Replayed[]>([]);
  const [progress, setProgress] = useState<{ done: number; count: number }>();
  const [problem, setProblem] = useState("");

  const replay = async (ids: string[], again = false) => {
    setTold([]);
    setProblem("");
    setProgress({ done: 0, count: ids.length });
    try {
      await api.replay(ids, again, (portion) => {
        setTold((known) => [...known, ...portion]);
        setProgress((known) => known && { ...known, done: known.done + portion.length });
      });
    } catch (error) {
      setProblem(wordsOf(error, t, "noAnswerUnclear"));
    }
    setProgress(undefined);
  };
  return { replay, told, progress, problem };
}

type Props = Omit<ReturnType<typeof useReplay>, "replay">;

/** How far a replay is, and what became of each letter. */
export function ReplayNews({ told, progress, problem }: Props) {
  const { t } = useSpeech();
  return (
    <>
      <div role="status" class="replay-news">
        {progress && (
          <>
            <p>{t("replaying", progress)}</p>
            <progress aria-label={t("progress")} max={progress.count} value={progress.done} />
          </>
        )}
        {told.length > 0 && (
          <p class="headline">
            {t("replayedCount", { done: told.filter((one) => one.result === "replayed").length, count: told.length })}
          </p>
        )}
        <ul>
          {told.map((one) => (
            <li key={one.id} class={one.result === "replayed" ? "good" : "left"}>
              {t(`result_${one.result}`, {
                id: one.id,
                run: one.run ?? "",
                by: one.outdone_by ?? "",
                reason: one.reason ?? "",
              })}
            </li>
          ))}
        </ul>
      </div>
      <p class="problem" role="alert">{problem}</p>
    </>
  );
}
