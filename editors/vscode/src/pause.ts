import * as vscode from "vscode";

/** Whether this window wants no suggestions for now, and until when. */
export class Pause implements vscode.Disposable {
  private readonly changes = new vscode.EventEmitter<void>();
  private timer: NodeJS.Timeout | undefined;
  private until: Date | undefined;
  private isOn = false;

  readonly onDidChange = this.changes.event;

  get isPaused(): boolean {
    return this.isOn;
  }

  /** For the status bar: until when. */
  get message(): string {
    const time = this.until?.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return time === undefined ? "" : `It goes on at ${time}`;
  }

  /** Until `resume`. */
  pause(): void {
    this.set(true);
  }

  snooze(minutes: number): void {
    const ms = minutes * 60_000;
    this.set(true, new Date(Date.now() + ms));
    this.timer = setTimeout(() => {
      this.resume();
    }, ms);
  }

  resume(): void {
    this.set(false);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.changes.dispose();
  }

  private set(isOn: boolean, until?: Date): void {
    clearTimeout(this.timer);
    this.isOn = isOn;
    this.until = until;
    void vscode.commands.executeCommand("setContext", "midfill.paused", isOn);
    this.changes.fire();
  }
}
