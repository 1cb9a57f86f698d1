import { useEffect, useState } from "preact/hooks";

import { useSpeech } from "../texts";
import { wordsOf } from "../words";

/** Asks now and again every so often while the page is seen. Returns the last answer, and what went wrong since. */
export function useWatched<T>(ask: () => Promise<T>, everyMs: number, round: unknown = 0) {
  const { t } = useSpeech();
  const [found, setFound] = useState<T>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let timer = 0;
    let isOver = false;
    const look = async () => {
      clearTimeout(timer);
      if (!document.hidden) {
        try {
          const answer = await ask();
          if (isOver) return;
          setFound(answer);
          setProblem("");
        } catch (error) {
          if (isOver) return;
          setProblem(wordsOf(error, t));
        }
      }
      timer = setTimeout(look, everyMs);
    };
    const shown = () => void (document.hidden || look());
    document.addEventListener("visibilitychange", shown);
    void look();
    return () => {
      isOver = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [round]);
  return { found, problem, setFound };
}
