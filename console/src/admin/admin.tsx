import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { useSpeech, type Key } from "../texts";
import "./admin.css";
import { FailuresPage } from "./failures";
import { LetterView } from "./letter";
import { LettersPage } from "./letters";
import { QueuePage } from "./queue";
import { UsersPage } from "./users";
import { WorkersPage } from "./workers";

const LETTER = /^#\/admin\/dead-letters\/(\d+\/\d+)$/;
const PAGES: [string, Key][] = [
  ["queue", "queue"],
  ["workers", "workers"],
  ["failures", "failures"],
  ["dead-letters", "deadLetters"],
  ["users", "users"],
];

export const isAdminPlace = (place: string) => /^#\/admin(\/|$)/.test(place);

/** The pages for administrators, at `#/admin/…`. */
export function AdminPage({ place }: { place: string }) {
  const { t } = useSpeech();
  const letter = LETTER.exec(place)?.[1];
  const name = place.split("/")[2] || "queue";
  const links = useRef<HTMLUListElement>(null);
  // On a narrow screen the links of the pages do not all fit.
  useEffect(() => {
    links.current!.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [name]);
  return (
    <div class="admin">
      <nav aria-label={t("adminPages")}>
        <ul ref={links}>
          {PAGES.map(([path, key]) => (
            <li key={path}>
              <a href={`#/admin/${path}`} aria-current={path === name ? "page" : undefined}>{t(key)}</a>
            </li>
          ))}
        </ul>
      </nav>
      {letter ? <LetterView key={letter} id={letter} /> : pageOf(name)}
    </div>
  );
}

function pageOf(name: string): ComponentChildren {
  switch (name) {
    case "workers": return <WorkersPage />;
    case "failures": return <FailuresPage />;
    case "dead-letters": return <LettersPage />;
    case "users": return <UsersPage />;
    default: return <QueuePage />;
  }
}

/** A page's heading, which takes the focus when the page is opened. */
export function Heading({ children }: { children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return <h1 ref={heading} tabIndex={-1}>{children}</h1>;
}

/** What stands in place of a page's content while it is loaded, or went wrong. */
export function Instead({ isThere, problem }: { isThere: boolean; problem: string }) {
  const { t } = useSpeech();
  if (problem) return <p class="notice" role="status">{problem}</p>;
  return isThere ? null : <p role="status">{t("loading")}</p>;
}

/** What a page says that has nothing to show. */
export function Empty({ title, hint }: { title: string; hint?: string }) {
  return (
    <div class="card nothing">
      <p class="headline">{title}</p>
      {hint && <p class="hint">{hint}</p>}
    </div>
  );
}
