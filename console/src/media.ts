/** Questions to media elements. */

export function isAtEnd(element: HTMLAudioElement): boolean {
  return element.ended || element.currentTime >= element.duration;
}

export function hasNoData(element: HTMLAudioElement): boolean {
  return element.seeking || (element.readyState < HTMLMediaElement.HAVE_FUTURE_DATA && !isAtEnd(element));
}
