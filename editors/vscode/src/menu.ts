import * as vscode from "vscode";
import type { Pause } from "./pause";

interface Choice extends vscode.QuickPickItem {
  command?: string;
}

/** What a click on the status bar item offers. */
export async function showMenu(pause: Pause): Promise<void> {
  const pausing: Choice[] = pause.isPaused
    ? [{ label: "$(play) Resume", description: pause.message, command: "midfill.resume" }]
    : [
        { label: "$(debug-pause) Pause", description: "until you resume", command: "midfill.pause" },
        { label: "$(watch) Snooze…", description: "for some minutes", command: "midfill.snooze" },
      ];
  const choices: Choice[] = [
    ...pausing,
    { label: "$(refresh) Restart", command: "midfill.restart" },
    { label: "", kind: vscode.QuickPickItemKind.Separator },
    { label: "$(graph) Show Statistics", command: "midfill.showStatistics" },
    { label: "$(output) Show Log", command: "midfill.showLog" },
    { label: "$(gear) Settings", command: "midfill.openSettings" },
  ];
  const choice = await vscode.window.showQuickPick(choices, { title: "Midfill" });
  if (choice?.command !== undefined) {
    await vscode.commands.executeCommand(choice.command);
  }
}

/** Minutes to snooze; undefined if the user thought better of it. */
export async function askMinutes(): Promise<number | undefined> {
  const choices = [5, 15, 60].map((minutes) => ({ label: `${minutes} minutes`, minutes }));
  const choice = await vscode.window.showQuickPick(choices, { title: "Midfill: snooze for" });
  return choice?.minutes;
}
