import { randomUUID } from "node:crypto";
import * as vscode from "vscode";
import {
  ExecuteCommandRequest,
  type LanguageClient,
  LSPErrorCodes,
  type Range,
  ResponseError,
  WorkDoneProgress,
} from "vscode-languageclient/node";

/** The server's command. */
export const INFILL = "midfill.infillSelection";

/** A fill that takes no longer shows no progress: a notification that flashes by is worse than none. */
const PATIENCE_MS = 400;

export type Mode = "fast" | "best";

/** What the command is told: the range is the hole, all around it is context. */
export interface Gap {
  uri: string;
  range: Range;
  mode: Mode;
  version?: number;
}

export function isGap(value: unknown): value is Gap {
  return typeof value === "object" && value !== null && "uri" in value && "range" in value && "mode" in value;
}

export function selectedGap(client: LanguageClient, editor: vscode.TextEditor, mode: Mode): Gap {
  const { document, selection } = editor;
  const converter = client.code2ProtocolConverter;
  return {
    uri: converter.asUri(document.uri),
    range: converter.asRange(selection),
    mode,
    version: document.version,
  };
}

/** Has the server fill the gap, which it does by an edit of the workspace. Tells the user why, if it does not. */
export async function fill(client: LanguageClient, gap: Gap): Promise<void> {
  const cancelling = new vscode.CancellationTokenSource();
  const workDoneToken = randomUUID();
  const params = { command: INFILL, arguments: [gap], workDoneToken };
  const filled = client.sendRequest(ExecuteCommandRequest.type, params, cancelling.token).catch(tellFailure);
  try {
    await showIfSlow(client, workDoneToken, filled, cancelling);
  } finally {
    cancelling.dispose();
  }
}

async function showIfSlow(
  client: LanguageClient,
  workDoneToken: string,
  filled: Promise<unknown>,
  cancelling: vscode.CancellationTokenSource,
): Promise<void> {
  const isDone = await Promise.race([filled.then(() => true), after(PATIENCE_MS)]);
  if (isDone) {
    return;
  }
  const options = { location: vscode.ProgressLocation.Notification, title: "Midfill", cancellable: true };
  await vscode.window.withProgress(options, async (progress, token) => {
    token.onCancellationRequested(() => {
      cancelling.cancel();
    });
    const listening = client.onProgress(WorkDoneProgress.type, workDoneToken, (report) => {
      progress.report({ message: report.message ?? "" });
    });
    progress.report({ message: "filling the selection" });
    await filled.finally(() => {
      listening.dispose();
    });
  });
}

function after(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(resolve, ms, false));
}

function tellFailure(error: unknown): void {
  const isCancelled = error instanceof ResponseError && error.code === LSPErrorCodes.RequestCancelled;
  if (!isCancelled) {
    const reason = error instanceof Error ? error.message : String(error);
    void vscode.window.showWarningMessage(`Midfill: ${reason}`);
  }
}
