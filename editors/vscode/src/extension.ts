import * as vscode from "vscode";
import { fill, type Mode, selectedGap } from "./fill";
import { askMinutes, showMenu } from "./menu";
import { tellMissing } from "./missing";
import { Pause } from "./pause";
import { find, Server } from "./server";
import { showStatistics } from "./statistics";
import { StatusItem } from "./statusItem";

let server: Server | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("Midfill", { log: true });
  const pause = new Pause();
  const started = new Server(log, pause);
  server = started;
  context.subscriptions.push(
    log,
    pause,
    started,
    new StatusItem(started, pause),
    ...commands(started, pause, log),
    pause.onDidChange(() => started.sendSettings()),
    vscode.workspace.onDidGrantWorkspaceTrust(() => started.reconfigure()),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (["midfill.command", "midfill.arguments"].some((name) => event.affectsConfiguration(name))) {
        void started.reconfigure();
      } else if (event.affectsConfiguration("midfill")) {
        void started.sendSettings();
      }
    }),
  );
  void started.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}

function commands(server: Server, pause: Pause, log: vscode.LogOutputChannel): vscode.Disposable[] {
  const handlers: Record<string, (argument: unknown) => unknown> = {
    "midfill.fillFast": () => fillSelection(server, "fast"),
    "midfill.fillBest": () => fillSelection(server, "best"),
    "midfill.restart": () => server.restart(),
    "midfill.pause": () => {
      pause.pause();
    },
    "midfill.snooze": async (argument) => {
      const minutes = typeof argument === "number" ? argument : await askMinutes();
      if (minutes !== undefined) {
        pause.snooze(minutes);
      }
    },
    "midfill.resume": () => {
      pause.resume();
    },
    "midfill.menu": () => showMenu(pause),
    "midfill.showLog": () => {
      log.show();
    },
    "midfill.showStatistics": () => {
      const finding = find();
      if (finding.found) {
        showStatistics(finding.command);
      } else {
        void tellMissing(finding.complaint);
      }
    },
    "midfill.openSettings": () =>
      vscode.commands.executeCommand("workbench.action.openSettings", "@ext:midfill.midfill"),
  };
  return Object.entries(handlers).map(([name, handler]) => vscode.commands.registerCommand(name, handler));
}

async function fillSelection(server: Server, mode: Mode): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (!editor) {
    return;
  }
  const client = server.running;
  if (client) {
    await fill(client, selectedGap(client, editor, mode));
    return;
  }
  const choice = await vscode.window.showWarningMessage("Midfill is not running.", "Restart");
  if (choice !== undefined) {
    await server.restart();
  }
}
