import * as vscode from "vscode";

const OPEN_SETTINGS = "Open Settings";
const HOW_TO_INSTALL = "How to Install";

/** Says that there is no midfill program, and offers what helps. */
export async function tellMissing(complaint: string): Promise<void> {
  const choice = await vscode.window.showErrorMessage(`Midfill: ${complaint}`, HOW_TO_INSTALL, OPEN_SETTINGS);
  if (choice === OPEN_SETTINGS) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "midfill.command");
  } else if (choice === HOW_TO_INSTALL) {
    await vscode.commands.executeCommand("workbench.action.openWalkthrough", "midfill.midfill#start");
  }
}
