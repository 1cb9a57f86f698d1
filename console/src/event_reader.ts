/** Reads server-sent events from pieces of a stream, wherever it was cut. */
export class EventReader {
  private rest = "";

  /** Returns the data of the events that this piece completes. Comments and events without data are left out. */
  read(piece: string): string[] {
    const events = (this.rest + piece.replaceAll("\r", "")).split("\n\n");
    this.rest = events.pop() ?? "";
    return events.flatMap((event) => {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      return data.length ? [data.join("\n")] : [];
    });
  }
}
