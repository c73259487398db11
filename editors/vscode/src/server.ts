import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import * as vscode from "vscode";
import { type LanguageClient, State } from "vscode-languageclient/node";
import { createClient, sendSettings } from "./client";
import { type Finding, findMidfill } from "./finding";
import { tellMissing } from "./missing";
import type { Pause } from "./pause";
import { plainStatus, readStatus, type Status } from "./status";

const START_MS = 30_000;

/** The language server of this window: found, started, started anew, stopped. */
export class Server implements vscode.Disposable {
  private readonly statuses = new vscode.EventEmitter<Status>();
  private client: LanguageClient | undefined;
  private restarting: Promise<void> | undefined;

  readonly onStatus = this.statuses.event;

  constructor(
    private readonly log: vscode.LogOutputChannel,
    private readonly pause: Pause,
  ) {}

  /** The client, if its server is there to be asked. */
  get running(): LanguageClient | undefined {
    return this.client?.isRunning() ? this.client : undefined;
  }

  /** Starts the server, or starts it anew. One who asks while that is being done joins it. */
  restart(): Promise<void> {
    this.restarting ??= this.replace().finally(() => {
      this.restarting = undefined;
    });
    return this.restarting;
  }

  /** Starts the server anew with what was changed just now, even if a restart is under way. */
  async reconfigure(): Promise<void> {
    await this.restarting;
    await this.restart();
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    setRunning(false);
    try {
      await client?.dispose();
    } catch (error) {
      this.log.warn(`midfill lsp did not stop as asked: ${String(error)}`); // the client then ends its process
    }
  }

  async sendSettings(): Promise<void> {
    const client = this.running;
    await (client && sendSettings(client, () => this.pause.isPaused));
  }

  dispose(): void {
    this.statuses.dispose();
  }

  private async replace(): Promise<void> {
    await this.stop();
    const finding = find();
    if (!finding.found) {
      this.log.error(finding.complaint);
      this.statuses.fire(plainStatus("failed", finding.complaint));
      void tellMissing(finding.complaint);
      return;
    }
    const args = vscode.workspace.getConfiguration("midfill").get<string[]>("arguments", ["lsp"]);
    this.log.info(`starting ${finding.command} ${args.join(" ")}`);
    const client = createClient({ command: finding.command, args }, this.log, () => this.pause.isPaused);
    this.client = client;
    this.listen(client);
    await this.start(client);
  }

  private listen(client: LanguageClient): void {
    // One that was let go may still speak, if it is slow to end.
    const isCurrent = () => this.client === client;
    client.onNotification("midfill/status", (params: unknown) => {
      const status = readStatus(params);
      if (status && isCurrent()) {
        this.statuses.fire(status);
      }
    });
    client.onDidChangeState(({ newState }) => {
      if (!isCurrent()) {
        return;
      }
      setRunning(newState === State.Running);
      if (newState === State.Starting) {
        this.statuses.fire(plainStatus("starting"));
      } else if (newState === State.Stopped) {
        this.statuses.fire(plainStatus("failed", "midfill lsp ended. The log may say why"));
      }
    });
  }

  /** A server that does not get ready is told in a message by the client itself. */
  private async start(client: LanguageClient): Promise<void> {
    const giveUp = setTimeout(() => {
      this.log.error(`midfill lsp was not ready after ${START_MS / 1000} s`);
      void this.stop();
    }, START_MS);
    try {
      await client.start();
    } catch {
      this.statuses.fire(plainStatus("failed", "midfill lsp could not be started. The log may say why"));
    } finally {
      clearTimeout(giveUp);
    }
  }
}

/** For the conditions in package.json. */
function setRunning(isRunning: boolean): void {
  void vscode.commands.executeCommand("setContext", "midfill.running", isRunning);
}

/** Where midfill is. A workspace that is not trusted has no say: its .venv may hold any program. */
export function find(): Finding {
  const folders = vscode.workspace.isTrusted ? (vscode.workspace.workspaceFolders ?? []) : [];
  const places = {
    setting: vscode.workspace.getConfiguration("midfill").get("command", "").trim(),
    folders: folders.filter(({ uri }) => uri.scheme === "file").map(({ uri }) => uri.fsPath),
    path: process.env.PATH ?? "",
    home: homedir(),
    platform: process.platform,
  };
  return findMidfill(places, isProgram);
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
