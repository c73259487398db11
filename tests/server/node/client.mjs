// A language client that is not ours: it speaks to `midfill lsp` by the library that VS Code's clients are made of, and
// prints what it saw as one JSON object.    node client.mjs COMMAND [ARGUMENT…]
import { spawn } from "node:child_process";
import * as lsp from "vscode-languageserver-protocol/node";

const [command, ...args] = process.argv.slice(2);
const server = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
const exitCode = new Promise((resolve) => server.on("exit", resolve));
const connection = lsp.createProtocolConnection(server.stdout, server.stdin);
const seen = { messages: [], configured: [], edits: [], statuses: 0 };
const uri = "file:///work/peer.py";
let text = "";
let version = 0;

connection.onNotification(lsp.ShowMessageNotification.type, ({ message }) => seen.messages.push(message));
connection.onNotification("midfill/status", () => (seen.statuses += 1));
connection.onRequest(lsp.WorkDoneProgressCreateRequest.type, () => undefined);
connection.onRequest(lsp.ConfigurationRequest.type, ({ items }) => {
  seen.configured.push(...items.map((item) => item.section));
  return items.map(() => ({ speculate: false }));
});
connection.onRequest(lsp.ApplyWorkspaceEditRequest.type, ({ edit }) => {
  seen.edits.push(edit);
  const [{ textDocument, edits }] = edit.documentChanges;
  if (textDocument.version !== version) return { applied: false };
  for (const { range, newText } of edits) change(range, newText);
  return { applied: true };
});
connection.listen();

// JavaScript's strings are UTF-16, as are LSP's positions where nothing else was agreed on.
function offsetAt({ line, character }) {
  return text.split("\n").slice(0, line).join("\n").length + (line ? 1 : 0) + character;
}

function change(range, newText) {
  text = text.slice(0, offsetAt(range.start)) + newText + text.slice(offsetAt(range.end));
  version += 1;
  const contentChanges = [{ range, text: newText }];
  void connection.sendNotification(lsp.DidChangeTextDocumentNotification.type, {
    textDocument: { uri, version },
    contentChanges,
  });
}

function open(opened) {
  if (version) void connection.sendNotification(lsp.DidCloseTextDocumentNotification.type, { textDocument: { uri } });
  [text, version] = [opened, 1];
  void connection.sendNotification(lsp.DidOpenTextDocumentNotification.type, {
    textDocument: { uri, languageId: "python", version, text },
  });
}

function suggest(position, context, token) {
  return connection.sendRequest(
    lsp.InlineCompletionRequest.type,
    { textDocument: { uri }, position, context },
    token ?? lsp.CancellationToken.None,
  );
}

// The answer to a request that fails, as the library tells of it.
async function failure(request) {
  try {
    return { result: await request };
  } catch (error) {
    return { code: error.code, message: error.message };
  }
}

async function handshake() {
  seen.initialized = await connection.sendRequest(lsp.InitializeRequest.type, {
    processId: process.pid,
    rootUri: null,
    workspaceFolders: null,
    clientInfo: { name: "a peer" },
    capabilities: {
      general: { positionEncodings: [lsp.PositionEncodingKind.UTF16] },
      window: { workDoneProgress: true },
      workspace: { applyEdit: true, configuration: true, workspaceEdit: { documentChanges: true } },
      textDocument: { inlineCompletion: { dynamicRegistration: true } },
    },
  });
  await connection.sendNotification(lsp.InitializedNotification.type, {});
}

async function acceptAfterAstralCharacters() {
  open("🙂 = '𝒳'; x = \nlast\n");
  const position = { line: 0, character: text.indexOf("\n") };
  const { items } = await suggest(position, { triggerKind: lsp.InlineCompletionTriggerKind.Invoked });
  seen.astral = { items, position };
  change(items[0].range, items[0].insertText);
  seen.astral.text = text;
  seen.accepted = await failure(connection.sendRequest(lsp.ExecuteCommandRequest.type, items[0].command));
}

// After a delete nothing is suggested unasked: that tells which of the two the server took a trigger kind for.
async function speakEachDialect() {
  seen.dialects = [];
  for (const context of [{ triggerKind: 2 }, { triggerKind: 1 }, { triggerKind: 0 }, { triggerKind: 1 }, undefined]) {
    open("x = 7");
    change({ start: { line: 0, character: 4 }, end: { line: 0, character: 5 } }, "");
    const { items } = await suggest({ line: 0, character: 4 }, context);
    seen.dialects.push(items.map((item) => item.insertText));
  }
}

async function cancel() {
  open("slow(");
  const source = new lsp.CancellationTokenSource();
  const asked = failure(suggest({ line: 0, character: 5 }, { triggerKind: 1 }, source.token));
  source.cancel();
  seen.cancelled = await asked;
}

async function fillSelection() {
  open("🙂 = 1; total = TODO\nprint(total)\n");
  const start = text.indexOf("TODO");
  const range = { start: { line: 0, character: start }, end: { line: 0, character: start + 4 } };
  const actions = await connection.sendRequest(lsp.CodeActionRequest.type, {
    textDocument: { uri },
    range,
    context: { diagnostics: [] },
  });
  seen.actions = actions.map(({ title, kind }) => ({ title, kind }));
  const kinds = [];
  const following = connection.onProgress(lsp.WorkDoneProgress.type, "mine", ({ kind }) => kinds.push(kind));
  const filled = await connection.sendRequest(lsp.ExecuteCommandRequest.type, {
    ...actions[0].command,
    workDoneToken: "mine",
  });
  following.dispose();
  seen.filled = { filled, text, edits: seen.edits.length, kinds };
}

async function sendTheUnknown() {
  open("x = ");
  const position = { line: 0, character: 4, column: 4 };
  const textDocument = { uri, version, languageId: "python" };
  const context = { triggerKind: 1, reason: "none" };
  const formattingOptions = { tabSize: 4, insertSpaces: true };
  seen.unknownParams = await connection.sendRequest(lsp.InlineCompletionRequest.method, {
    textDocument,
    position,
    context,
    formattingOptions,
  });
  seen.unknownRequest = await failure(connection.sendRequest("midfill/noSuchRequest", { a: 1 }));
  await connection.sendNotification("midfill/noSuchNotification", { a: 1 });
  await connection.sendNotification("$/noSuchNotification", { a: 1 });
}

async function leave() {
  await connection.sendRequest(lsp.ShutdownRequest.type);
  await connection.sendNotification(lsp.ExitNotification.type);
  seen.exitCode = await exitCode;
}

await handshake();
await acceptAfterAstralCharacters();
await speakEachDialect();
await cancel();
await fillSelection();
await sendTheUnknown();
await leave();
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
