import { execFile } from "node:child_process";
import * as vscode from "vscode";

/** Shows what `midfill stats` prints, in a terminal that stays, among the editors: in the panel it would not fit. */
export function showStatistics(command: string): void {
  const name = "Midfill Statistics";
  vscode.window.terminals.find((terminal) => terminal.name === name)?.dispose();
  const options = {
    name,
    pty: printing(command, ["stats"]),
    iconPath: new vscode.ThemeIcon("graph"),
    location: vscode.TerminalLocation.Editor,
  };
  vscode.window.createTerminal(options).show();
}

/** A terminal of its own kind: one that ran the program itself would close when that ends. */
function printing(command: string, args: string[]): vscode.Pseudoterminal {
  const written = new vscode.EventEmitter<string>();
  return {
    onDidWrite: written.event,
    open: (size) => {
      const env = { ...process.env, FORCE_COLOR: "1", COLUMNS: String(size?.columns ?? 80) };
      execFile(command, args, { env }, (error, stdout, stderr) => {
        const text = stdout + stderr || (error?.message ?? "");
        written.fire(text.replaceAll(/\r?\n/g, "\r\n"));
      });
    },
    close: () => {
      written.dispose();
    },
  };
}
