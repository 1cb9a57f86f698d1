import { useEffect, useRef, useState } from "preact/hooks";

import { keepLooking } from "../looking";
import { withNewestPage, withOlderPage, type Loaded } from "../pages";
import { useSpeech } from "../texts";
import { wordsOf } from "../words";
import * as api from "./api";
import { isAfter } from "./letter_order";

// Each look reads the whole topic.
const EVERY_MS = 30000;

/**
 * The letters that were loaded, and how older ones are. The newest page comes now and again while the list is seen. With
 * each `round` the list begins anew.
 */
export function useLetters(withReplayed: boolean, code: string, round: number) {
  const { t } = useSpeech();
  const [loaded, setLoaded] = useState<Loaded<api.Summary>>();
  const [problem, setProblem] = useState("");
  const [olderProblem, setOlderProblem] = useState("");
  const loading = useRef("");

  useEffect(() => {
    let isFirst = true;
    const look = async (isOver: () => boolean) => {
      try {
        const page = await api.letters(api.lettersAddress(withReplayed, code));
        if (isOver()) return EVERY_MS;
        const beginsAnew = isFirst;
        isFirst = false;
        setLoaded((now) => withNewestPage(beginsAnew ? undefined : now, page, isAfter));
        setProblem("");
      } catch (error) {
        if (!isOver()) setProblem(wordsOf(error, t));
      }
      return EVERY_MS;
    };
    return keepLooking(look, EVERY_MS);
  }, [withReplayed, code, round]);

  const older = async () => {
    const next = loaded?.next;
    if (!next || loading.current === next) return;
    loading.current = next;
    setOlderProblem("");
    try {
      const page = await api.letters(next);
      // The list may have begun anew meanwhile.
      setLoaded((now) => (now?.next === next ? withOlderPage(now, page, isAfter) : now));
    } catch (error) {
      setOlderProblem(wordsOf(error, t, "noAnswerOnce"));
    }
    loading.current = "";
  };
  return { loaded, problem, older, olderProblem };
}
