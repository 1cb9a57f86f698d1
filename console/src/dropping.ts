import { useState } from "preact/hooks";

import { addressIn, hasFiles, mayHaveAddress } from "./dropped";

// A link or a text that is dropped there belongs there.
const TEXT_FIELDS = "input:not([type=file], [type=checkbox])";

/**
 * Returns the events of a part of the page on which files are dropped, and links unless `takeAddress` is undefined, and
 * whether something that it takes is held over it. Without `takeFiles` nobody takes files: the browser would open them in
 * place of the page. All else that is dropped is left to the browser.
 */
export function useDropping(takeFiles?: (files: FileList) => void, takeAddress?: (address: string) => void) {
  const [isOver, setIsOver] = useState(false);
  const isOurs = ({ dataTransfer, target }: DragEvent) => {
    if (!dataTransfer) return false;
    if (hasFiles(dataTransfer)) return true;
    const isOfField = target instanceof Element && target.matches(TEXT_FIELDS);
    return takeAddress !== undefined && mayHaveAddress(dataTransfer) && !isOfField;
  };
  const onDragOver = (event: DragEvent) => {
    const isTaken = isOurs(event);
    if (isTaken) event.preventDefault();
    const isRefused = isTaken && !takeFiles;
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
