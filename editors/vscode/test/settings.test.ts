import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { serverSettings } from "../src/settings";

interface Manifest {
  contributes: { configuration: { properties: Record<string, { default: unknown }> } };
}

// npm runs scripts in the package's folder.
const manifest = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;
const { properties } = manifest.contributes.configuration;
const byDefault = (name: string) => properties[`midfill.${name}`]?.default;

test("every setting but the extension's own goes to the server", () => {
  const own = ["command", "arguments"];
  const declared = Object.keys(properties).map((name) => name.replace("midfill.", ""));
  const expected = declared.filter((name) => !own.includes(name)).sort();
  assert.deepEqual(Object.keys(serverSettings(byDefault, false).midfill).sort(), expected);
});

test("every setting that goes to the server has a default", () => {
  const { midfill } = serverSettings(byDefault, false);
  assert.ok(Object.values(midfill).every((value) => value !== undefined));
});

test("a pause is told to the server as the setting that turns it off", () => {
  assert.equal(serverSettings(byDefault, false).midfill.enabled, true);
  assert.equal(serverSettings(byDefault, true).midfill.enabled, false);
});
