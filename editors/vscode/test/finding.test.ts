import assert from "node:assert/strict";
import { test } from "node:test";
import { findMidfill, type Places } from "../src/finding";

const LINUX: Places = {
  setting: "",
  folders: ["/work/app", "/work/lib"],
  path: "/usr/local/bin:/usr/bin",
  home: "/home/ada",
  platform: "linux",
};
const WINDOWS: Places = {
  setting: "",
  folders: ["C:\\app"],
  path: "C:\\Windows;C:\\Tools",
  home: "C:\\Users\\ada",
  platform: "win32",
};

function command(places: Partial<Places>, ...programs: string[]): string | undefined {
  const finding = findMidfill({ ...LINUX, ...places }, (file) => programs.includes(file));
  return finding.found ? finding.command : undefined;
}

test("the workspace's venv goes before the PATH", () => {
  const venv = "/work/app/venv/bin/midfill";
  assert.equal(command({}, "/usr/bin/midfill", venv), venv);
  assert.equal(command({}, "/usr/bin/midfill", "/work/lib/.venv/bin/midfill"), "/work/lib/.venv/bin/midfill");
});

test("the PATH is searched in its order, and ~/.local/bin last", () => {
  const local = "/home/ada/.local/bin/midfill";
  assert.equal(command({}, local, "/usr/bin/midfill", "/usr/local/bin/midfill"), "/usr/local/bin/midfill");
  assert.equal(command({}, local), local);
});

test("without trusted folders no venv is looked into", () => {
  assert.equal(command({ folders: [] }, "/work/app/.venv/bin/midfill"), undefined);
});

test("an empty part of the PATH is not the current folder", () => {
  assert.equal(command({ path: "::/usr/bin" }, "midfill"), undefined);
});

test("a setting is taken as it stands, and nothing stands in for it", () => {
  assert.equal(command({ setting: "/opt/midfill" }, "/opt/midfill", "/usr/bin/midfill"), "/opt/midfill");
  assert.equal(command({ setting: "/opt/midfill" }, "/usr/bin/midfill"), undefined);
});

test("a setting may start at home, in the workspace, or be a name on the PATH", () => {
  assert.equal(command({ setting: "~/bin/midfill" }, "/home/ada/bin/midfill"), "/home/ada/bin/midfill");
  assert.equal(command({ setting: "${workspaceFolder}/m" }, "/work/app/m"), "/work/app/m");
  assert.equal(command({ setting: "tools/midfill" }, "/work/app/tools/midfill"), "/work/app/tools/midfill");
  assert.equal(command({ setting: "midfill-dev" }, "/usr/bin/midfill-dev"), "/usr/bin/midfill-dev");
});

test("on Windows scripts are programs with a suffix", () => {
  assert.equal(command(WINDOWS, "C:\\app\\.venv\\Scripts\\midfill.exe"), "C:\\app\\.venv\\Scripts\\midfill.exe");
  assert.equal(command(WINDOWS, "C:\\Tools\\midfill.exe"), "C:\\Tools\\midfill.exe");
  assert.equal(command({ ...WINDOWS, setting: "D:\\m\\midfill" }, "D:\\m\\midfill.exe"), "D:\\m\\midfill.exe");
  assert.equal(
    command({ ...WINDOWS, setting: "~\\midfill.exe" }, "C:\\Users\\ada\\midfill.exe"),
    "C:\\Users\\ada\\midfill.exe",
  );
});

test("what is missing is told with the setting's value, or with the places", () => {
  const complaint = (setting: string) => {
    const finding = findMidfill({ ...LINUX, setting }, () => false);
    return finding.found ? "" : finding.complaint;
  };
  assert.match(complaint("/opt/midfill"), /midfill\.command.*"\/opt\/midfill"/);
  assert.match(complaint(""), /\.venv.*PATH/);
});
