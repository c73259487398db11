// package.mjs OUT.vsix: bundles the extension and packs it. A .vsix is a zip with two XML files that say what is in it.
import { zipSync } from "fflate";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, posix, resolve } from "node:path";
import { bundle, root } from "./bundle.mjs";

const TYPES = {
  js: "application/javascript",
  json: "application/json",
  md: "text/markdown",
  png: "image/png",
  txt: "text/plain",
  vsixmanifest: "text/xml",
};
const LICENCE = "LICENSE.txt"; // content types go by suffix, and files without one are refused
const NOTICES = "NOTICES.txt";
const VSX = "http://schemas.microsoft.com/developer/vsx-schema/2011";

function manifest(extension) {
  const property = (id, value) => `<Property Id="Microsoft.VisualStudio.${id}" Value="${escaped(value)}"/>`;
  const asset = (type, path) =>
    `<Asset Type="Microsoft.VisualStudio.${type}" Path="extension/${path}" Addressable="true"/>`;
  return `<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="${VSX}">
  <Metadata>
    <Identity Language="en-US" Id="${extension.name}" Version="${extension.version}" Publisher="${extension.publisher}"/>
    <DisplayName>${escaped(extension.displayName)}</DisplayName>
    <Description xml:space="preserve">${escaped(extension.description)}</Description>
    <Tags>${escaped(extension.keywords.join(","))}</Tags>
    <Categories>${escaped(extension.categories.join(","))}</Categories>
    <License>extension/${LICENCE}</License>
    <Icon>extension/${extension.icon}</Icon>
    <Properties>
      ${property("Code.Engine", extension.engines.vscode)}
      ${property("Code.ExtensionKind", extension.extensionKind.join(","))}
      ${property("Code.ExtensionDependencies", "")}
      ${property("Code.ExtensionPack", "")}
    </Properties>
  </Metadata>
  <Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation>
  <Dependencies/>
  <Assets>
    ${asset("Code.Manifest", "package.json")}
    ${asset("Services.Content.Details", "README.md")}
    ${asset("Services.Content.License", LICENCE)}
    ${asset("Services.Icons.Default", extension.icon)}
  </Assets>
</PackageManifest>
`;
}

function contentTypes() {
  const types = Object.entries(TYPES).map(
    ([suffix, type]) => `<Default Extension=".${suffix}" ContentType="${type}"/>`,
  );
  return `<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">${types.join("")}</Types>
`;
}

function escaped(text) {
  return text.replace(/[<>&"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** The licences of the packages that the bundled files come from. */
function notices(inputs) {
  const packages = new Set(inputs.map((input) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1]));
  packages.delete(undefined);
  const texts = [...packages].sort().map((name) => {
    const folder = join(root, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    return `${name} ${version}, ${license}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  return ["dist/extension.js holds these packages.\n", ...texts].join("\n" + "-".repeat(80) + "\n\n");
}

/** Files below a path of this package, by their paths there. */
function filesBelow(path) {
  if (!statSync(join(root, path)).isDirectory()) {
    return [path];
  }
  return readdirSync(join(root, path)).flatMap((entry) => filesBelow(posix.join(path, entry)));
}

const out = resolve(process.argv[2]);
const extension = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const inputs = await bundle();
const entries = {
  "extension.vsixmanifest": Buffer.from(manifest(extension)),
  "[Content_Types].xml": Buffer.from(contentTypes()),
  [`extension/${LICENCE}`]: readFileSync(join(root, "LICENSE")),
  [`extension/${NOTICES}`]: Buffer.from(notices(inputs)),
};
for (const file of ["package.json", ...extension.files.flatMap(filesBelow)]) {
  entries[`extension/${file}`] = readFileSync(join(root, file));
}
mkdirSync(dirname(out), { recursive: true });
writeFileSync(out, zipSync(entries, { mtime: new Date(1980, 0, 1) })); // the same sources give the same file
