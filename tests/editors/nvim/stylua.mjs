// node stylua.mjs LIBRARY [--write] FILES…: names the files that StyLua would change, or changes them. The registry's
// package is a library without a command; the options are those of editors/nvim/stylua.toml.
import { readFileSync, writeFileSync } from "node:fs";

const [library, ...rest] = process.argv.slice(2);
const { Config, IndentType, OutputVerification, formatCode } = await import(library);
const write = rest[0] === "--write";
const toml = readFileSync(new URL("../../../editors/nvim/stylua.toml", import.meta.url), "utf8");
const option = (name) => toml.match(new RegExp(`^${name} = "?(\\w+)"?$`, "m"))[1];

for (const file of write ? rest.slice(1) : rest) {
  const config = Config.new();
  config.column_width = Number(option("column_width"));
  config.indent_width = Number(option("indent_width"));
  config.indent_type = IndentType[option("indent_type")];
  const code = readFileSync(file, "utf8");
  const formatted = formatCode(code, config, undefined, OutputVerification.Full);
  if (formatted === code) continue;
  if (write) writeFileSync(file, formatted);
  else {
    console.log(`${file} is not formatted`);
    process.exitCode = 1;
  }
}
