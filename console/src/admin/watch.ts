import { useEffect, useState } from "preact/hooks";

import { keepLooking } from "../looking";
import { useSpeech } from "../texts";
import { wordsOf } from "../words";

/** Asks now and again every so often while the page is seen. Returns the last answer, and what went wrong since. */
export function useWatched<T>(ask: () => Promise<T>, everyMs: number, round: unknown = 0) {
  const { t } = useSpeech();
  const [found, setFound] = useState<T>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const look = async (isOver: () => boolean) => {
      try {
        const answer = await ask();
        if (isOver()) return everyMs;
        setFound(answer);
        setProblem("");
      } catch (error) {
        if (!isOver()) setProblem(wordsOf(error, t));
      }
      return everyMs;
    };
    return keepLooking(look, everyMs);
  }, [round]);
  return { found, problem, setFound };
}
