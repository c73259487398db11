import * as vscode from "vscode";
import type { Pause } from "./pause";
import type { Server } from "./server";
import { plainStatus, type Status, statusBar } from "./status";

/** The item in the status bar: state, last latency, and a click for the menu. */
export class StatusItem implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem("midfill.status", vscode.StatusBarAlignment.Right, 100);
  private readonly listeners: vscode.Disposable[];
  private status = plainStatus("stopped");

  constructor(
    server: Server,
    private readonly pause: Pause,
  ) {
    this.item.name = "Midfill";
    this.item.command = "midfill.menu";
    this.listeners = [
      server.onStatus((status) => {
        this.status = status;
        this.show();
      }),
      pause.onDidChange(() => {
        this.show();
      }),
    ];
    this.show();
    this.item.show();
  }

  dispose(): void {
    vscode.Disposable.from(this.item, ...this.listeners).dispose();
  }

  private show(): void {
    const bar = statusBar(this.current());
    this.item.text = bar.text;
    this.item.tooltip = bar.details.join("\n");
    this.item.accessibilityInformation = { label: bar.details.join(". "), role: "button" };
    this.item.backgroundColor = bar.isWarning ? new vscode.ThemeColor("statusBarItem.warningBackground") : undefined;
  }

  private current(): Status {
    const isPaused = this.pause.isPaused && this.status.phase !== "failed";
    return isPaused ? { ...this.status, phase: "paused", message: this.pause.message } : this.status;
  }
}
