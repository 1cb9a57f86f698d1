import { useState } from "preact/hooks";

import { addressIn, hasFiles, mayHaveAddress } from "./dropped";

// A link or a text that is dropped there belongs there.
const TEXT_FIELDS = "input:not([type=file], [type=checkbox])";

/**
 * Returns the events of a part of the page on which files and links are dropped, and whether something that it takes is
 * held over it. Without `takeFiles` it takes no files, without `takeAddress` no links; the browser, which would open them
 * in place of the page, does not get them either. All else that is dropped is left to the browser.
 */
export function useDropping(takeFiles?: (files: FileList) => void, takeAddress?: (address: string) => void) {
  const [isOver, setIsOver] = useState(false);
  const isOurs = ({ dataTransfer, target }: DragEvent) => {
    if (!dataTransfer) return false;
    if (hasFiles(dataTransfer)) return true;
    const isOfField = target instanceof Element && target.matches(TEXT_FIELDS);
    return mayHaveAddress(dataTransfer) && !isOfField;
  };
  const onDragOver = (event: DragEvent) => {
    const isTaken = isOurs(event);
    if (isTaken) event.preventDefault();
    const isRefused = isTaken && !(hasFiles(event.dataTransfer!) ? takeFiles : takeAddress);
    if (isRefused) event.dataTransfer!.dropEffect = "none";
    setIsOver(isTaken && !isRefused);
  };
  const onDrop = (event: DragEvent) => {
    setIsOver(false);
    if (!isOurs(event)) return;
    event.preventDefault();
    const dropped = event.dataTransfer!;
    if (dropped.files.length) return takeFiles?.(dropped.files);
    const address = addressIn(dropped);
    if (address) takeAddress?.(address);
  };
  return { isOver, events: { onDragOver, onDrop, onDragLeave: () => setIsOver(false) } };
}
