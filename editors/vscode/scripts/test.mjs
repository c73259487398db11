// Bundles test/*.test.ts, as Node does not read TypeScript, and runs them in its own test runner.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "./bundle.mjs";

const isTest = (file) => file.endsWith(".test.ts");
const tests = readdirSync(join(root, "test")).filter(isTest);
await build({
  absWorkingDir: root,
  entryPoints: tests.map((file) => `test/${file}`),
  outdir: "dist/test",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  logLevel: "warning",
});
const built = tests.map((file) => join(root, "dist/test", file.replace(/ts$/, "mjs")));
const { status } = spawnSync(process.execPath, ["--test", "--test-reporter=spec", ...built], { stdio: "inherit" });
process.exit(status ?? 1);
