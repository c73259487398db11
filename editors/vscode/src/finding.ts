import * as path from "node:path";

/** Where the midfill program may be. */
export interface Places {
  /** `midfill.command` as it was set; empty if it was not. */
  setting: string;
  /** Workspace folders whose programs may be run. */
  folders: readonly string[];
  /** The PATH. */
  path: string;
  home: string;
  platform: NodeJS.Platform;
}

export type Finding = { found: true; command: string } | { found: false; complaint: string };

/** The first program among the places, or a sentence for the user. Pure but for `isProgram`. */
export function findMidfill(places: Places, isProgram: (file: string) => boolean): Finding {
  const command = candidates(places).find(isProgram);
  return command === undefined ? { found: false, complaint: complaint(places.setting) } : { found: true, command };
}

function candidates(places: Places): string[] {
  const paths = pathsOf(places);
  const onPath = places.path.split(paths.delimiter).filter((folder) => folder !== "");
  if (places.setting !== "") {
    return executables(places, fromSetting(places, onPath));
  }
  const scripts = places.platform === "win32" ? "Scripts" : "bin";
  const inVenvs = places.folders.flatMap((folder) =>
    [".venv", "venv"].map((venv) => paths.join(folder, venv, scripts)),
  );
  // Programs that a desktop starts often do not get the PATH of a login shell, which is where pipx and uv install to.
  const folders = [...inVenvs, ...onPath, paths.join(places.home, ".local", "bin")];
  return executables(
    places,
    folders.map((folder) => paths.join(folder, "midfill")),
  );
}

function fromSetting(places: Places, onPath: readonly string[]): string[] {
  const paths = pathsOf(places);
  const root = places.folders[0] ?? places.home;
  const setting = places.setting.replace(/^~(?=[\\/])/, places.home).replaceAll("${workspaceFolder}", root);
  if (paths.isAbsolute(setting)) {
    return [setting];
  }
  const isBareName = !/[\\/]/.test(setting);
  return isBareName ? onPath.map((folder) => paths.join(folder, setting)) : [paths.join(root, setting)];
}

function executables(places: Places, files: string[]): string[] {
  const needsSuffix = (file: string) => places.platform === "win32" && !/\.(exe|com)$/i.test(file);
  return files.map((file) => (needsSuffix(file) ? `${file}.exe` : file));
}

function complaint(setting: string): string {
  return setting === ""
    ? "The midfill program was not found: not in this workspace's .venv or venv, and not on the PATH."
    : `The setting midfill.command is "${setting}", and there is no such program.`;
}

function pathsOf(places: Places): path.PlatformPath {
  return places.platform === "win32" ? path.win32 : path.posix;
}
