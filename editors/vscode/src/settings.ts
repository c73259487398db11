/** The settings that are the language server's business; the others are the extension's own. */
const FOR_SERVER = [
  "enabled",
  "languages",
  "exclude",
  "inComments",
  "inStrings",
  "debounceMs",
  "maxFileBytes",
  "explicitMode",
  "eagerness",
  "maxTokens",
  "model",
  "bestModel",
  "otherFiles",
  "schemas",
  "fetchSchemas",
  "speculate",
  "statistics",
] as const;

export interface ServerSettings {
  midfill: Partial<Record<(typeof FOR_SERVER)[number], unknown>>;
}

/** What the language server is sent, at its start and when a setting changes. Pausing is a setting to it. */
export function serverSettings(read: (name: string) => unknown, isPaused: boolean): ServerSettings {
  const values = Object.fromEntries(FOR_SERVER.map((name) => [name, read(name)]));
  return { midfill: isPaused ? { ...values, enabled: false } : values };
}
