import { useEffect, useState } from "preact/hooks";

import type { State } from "./api";
import { isFiltered, NO_FILTER, type Filter } from "./list";
import { useSpeech } from "./texts";

const PAUSE_MS = 250;
const STATES: State[] = [
  "queued", "downloading", "preparing", "separating", "uploading", "delivering", "succeeded", "failed", "cancelled",
];

interface Props { filter: Filter; change: (changed: (now: Filter) => Filter) => void }

/** Fields that choose which songs are listed. Typing counts after a short pause. */
export function Filters({ filter, change }: Props) {
  const { t } = useSpeech();
  const [search, setSearch] = useState(filter.search);
  // A timer may be as old as the last picture: what was chosen since stays.
  const set = (given: Partial<Filter>) => change((now) => ({ ...now, ...given }));
  useEffect(() => {
    if (search === filter.search) return;
    const timer = setTimeout(() => set({ search }), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [search, filter]);
  const clear = () => {
    setSearch("");
    change(() => NO_FILTER);
  };
  return (
    <form class="filters" role="search" aria-label={t("filters")} onSubmit={(event) => event.preventDefault()}>
      <label class="wide">
        {t("search")}
        <input
          type="search"
          maxLength={200}
          placeholder={t("searchHint")}
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
      </label>
      <label>
        {t("state")}
        <select value={filter.state} onChange={(event) => set({ state: event.currentTarget.value })}>
          <option value="">{t("allStates")}</option>
          {STATES.map((state) => <option key={state} value={state}>{t(`state_${state}`)}</option>)}
        </select>
      </label>
      <label>
        {t("fromDay")}
        <input type="date" value={filter.from} onInput={(event) => set({ from: event.currentTarget.value })} />
      </label>
      <label>
        {t("toDay")}
        <input type="date" value={filter.to} onInput={(event) => set({ to: event.currentTarget.value })} />
      </label>
      {isFiltered(filter) && <button type="button" onClick={clear}>{t("clearFilters")}</button>}
    </form>
  );
}
