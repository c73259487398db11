const PHASES = ["stopped", "starting", "loading", "ready", "failed", "paused"] as const;

/** What a status bar shows: the `midfill/status` notification. */
export interface Status {
  phase: (typeof PHASES)[number];
  model: string;
  device: string;
  message: string;
  /** Of the last suggestion; null before the first. */
  latencyMs: number | null;
}

export interface Bar {
  text: string;
  /** What it says, a line each. */
  details: string[];
  isWarning: boolean;
}

/** A status of the extension's own, where the server has not spoken. */
export function plainStatus(phase: Status["phase"], message = ""): Status {
  return { phase, model: "", device: "", message, latencyMs: null };
}

/** The status in a notification's parameters; undefined if they are none. */
export function readStatus(params: unknown): Status | undefined {
  if (typeof params !== "object" || params === null) {
    return undefined;
  }
  const sent = params as Record<string, unknown>;
  const phase = PHASES.find((known) => known === sent.phase);
  return phase && { ...plainStatus(phase), ...texts(sent), latencyMs: finiteOrNull(sent.latencyMs) };
}

function texts(sent: Record<string, unknown>): Pick<Status, "model" | "device" | "message"> {
  const text = (name: string) => (typeof sent[name] === "string" ? sent[name] : "");
  return { model: text("model"), device: text("device"), message: text("message") };
}

function finiteOrNull(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

const ICONS: Record<Status["phase"], string> = {
  stopped: "$(circle-slash)",
  starting: "$(loading~spin)",
  loading: "$(loading~spin)",
  ready: "$(sparkle)",
  failed: "$(warning)",
  paused: "$(debug-pause)",
};

const STATES: Record<Status["phase"], string> = {
  stopped: "Midfill rests until there is something to fill",
  starting: "Midfill is starting",
  loading: "Midfill is loading its model",
  ready: "Midfill is ready",
  failed: "Midfill does not work",
  paused: "Midfill is paused",
};

/** The status bar item for a status. */
export function statusBar(status: Status): Bar {
  const latency = status.phase === "ready" && status.latencyMs !== null ? readable(status.latencyMs) : "";
  return {
    text: `${ICONS[status.phase]} Midfill${latency && ` ${latency}`}`,
    details: [
      STATES[status.phase],
      status.message,
      [status.model, status.device].filter((part) => part !== "").join(" on "),
      latency && `The last suggestion took ${latency}`,
    ].filter((line) => line !== ""),
    isWarning: status.phase === "failed",
  };
}

function readable(ms: number): string {
  return ms < 1 ? "< 1 ms" : ms < 10_000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`;
}
