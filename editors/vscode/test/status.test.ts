import assert from "node:assert/strict";
import { test } from "node:test";
import { plainStatus, readStatus, type Status, statusBar } from "../src/status";

const READY: Status = { phase: "ready", model: "nano", device: "cpu", message: "", latencyMs: 85.6 };

test("a ready server shows its last latency, its model and its device", () => {
  const bar = statusBar(READY);
  assert.equal(bar.text, "$(sparkle) Midfill 86 ms");
  assert.deepEqual(bar.details, ["Midfill is ready", "nano on cpu", "The last suggestion took 86 ms"]);
  assert.equal(bar.isWarning, false);
});

test("latencies are rounded to what can be read at a glance", () => {
  const text = (latencyMs: number) => statusBar({ ...READY, latencyMs }).text;
  assert.match(text(0.2), /< 1 ms$/);
  assert.match(text(1234.5), /1235 ms$/);
  assert.match(text(12_400), /12 s$/);
});

test("before the first suggestion there is no latency", () => {
  assert.equal(statusBar({ ...READY, latencyMs: null }).text, "$(sparkle) Midfill");
});

test("a latency is shown only while ready", () => {
  assert.equal(statusBar({ ...READY, phase: "paused" }).text, "$(debug-pause) Midfill");
});

test("a failure warns and says why", () => {
  const bar = statusBar(plainStatus("failed", "no such model"));
  assert.equal(bar.isWarning, true);
  assert.deepEqual(bar.details, ["Midfill does not work", "no such model"]);
});

test("a notification is read as it was sent", () => {
  assert.deepEqual(readStatus({ ...READY }), READY);
});

test("a notification with parts missing or wrong is read without them", () => {
  assert.deepEqual(readStatus({ phase: "loading", model: 3, latencyMs: "fast" }), plainStatus("loading"));
});

test("a notification that is none is not read", () => {
  for (const params of [null, undefined, "ready", [], { phase: "unheard of" }]) {
    assert.equal(readStatus(params), undefined);
  }
});
