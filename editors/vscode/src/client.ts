import * as readline from "node:readline";
import * as vscode from "vscode";
import {
  CloseAction,
  DidChangeConfigurationNotification,
  type ErrorHandler,
  type Executable,
  LanguageClient,
  type LanguageClientOptions,
  RevealOutputChannelOn,
  State,
} from "vscode-languageclient/node";
import { fill, INFILL, isGap } from "./fill";
import { type ServerSettings, serverSettings } from "./settings";

/** A client of `midfill lsp`, not started yet. What fails while nobody asked for anything is logged and no more. */
export function createClient(run: Executable, log: vscode.LogOutputChannel, isPaused: () => boolean): LanguageClient {
  const options: LanguageClientOptions = {
    documentSelector: [{ scheme: "file" }, { scheme: "untitled" }],
    initializationOptions: () => settings(isPaused),
    outputChannel: log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    initializationFailedHandler: () => false,
    errorHandler: errorHandler(() => client),
    // The server logs to stderr; the default would show each of its lines as an error.
    stdioOptions: {
      stdout: () => undefined,
      stderr: (stream) =>
        readline.createInterface(stream).on("line", (line) => {
          log.info(line);
        }),
    },
    middleware: {
      // Code actions run the server's command by its name. This way they too get progress that can be cancelled.
      executeCommand: async (command, args: unknown[], next) => {
        const gap = args[0];
        return command === INFILL && isGap(gap) ? fill(client, gap) : ((await next(command, args)) as unknown);
      },
      // Asked for the section "midfill", it is given what is the server's business, and a pause as a setting.
      workspace: { configuration: ({ items }) => items.map(() => settings(isPaused).midfill) },
    },
  };
  const client: LanguageClient = new LanguageClient("midfill", "Midfill", run, options);
  return client;
}

/** Tells the server its settings as they are now. */
export function sendSettings(client: LanguageClient, isPaused: () => boolean): Promise<void> {
  return client.sendNotification(DidChangeConfigurationNotification.type, { settings: settings(isPaused) });
}

function settings(isPaused: () => boolean): ServerSettings {
  const section = vscode.workspace.getConfiguration("midfill");
  return serverSettings((name) => section.get(name), isPaused());
}

/** Starts a server that ended anew, up to four times in three minutes; one that never got ready, not again. */
function errorHandler(client: () => LanguageClient): ErrorHandler {
  let standard: ErrorHandler | undefined;
  const usual = () => (standard ??= client().createDefaultErrorHandler());
  return {
    error: async (...details) => ({ ...(await usual().error(...details)), handled: true }),
    closed: async () =>
      client().state === State.Running
        ? { ...(await usual().closed()), handled: true }
        : { action: CloseAction.DoNotRestart, handled: true },
  };
}
