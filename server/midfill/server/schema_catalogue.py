"""Well-known JSON files, and where the schema of each is published: names alone. Nothing is fetched here.

A subset of SchemaStore's catalogue, made by hand. What it lacks, the settings or the document can name.
"""

from pathlib import Path

from midfill.server.file_match import fits

_STORE = "https://www.schemastore.org"
_GITHUB = "https://raw.githubusercontent.com"
CATALOGUE: dict[str, tuple[str, ...]] = {
    f"{_STORE}/package.json": ("package.json",),
    f"{_STORE}/tsconfig.json": ("tsconfig.json", "tsconfig.*.json", "tsconfig-*.json"),
    f"{_STORE}/jsconfig.json": ("jsconfig.json", "jsconfig.*.json"),
    f"{_STORE}/babelrc.json": (".babelrc", ".babelrc.json", "babel.config.json"),
    f"{_STORE}/eslintrc.json": (".eslintrc", ".eslintrc.json"),
    f"{_STORE}/prettierrc.json": (".prettierrc", ".prettierrc.json"),
    f"{_STORE}/stylelintrc.json": (".stylelintrc", ".stylelintrc.json"),
    f"{_STORE}/jshintrc.json": (".jshintrc",),
    f"{_STORE}/tslint.json": ("tslint.json",),
    f"{_STORE}/swcrc.json": (".swcrc",),
    f"{_STORE}/mocharc.json": (".mocharc.json", ".mocharc.jsonc"),
    f"{_STORE}/commitlintrc.json": (".commitlintrc", ".commitlintrc.json"),
    f"{_STORE}/lintstagedrc.schema.json": (".lintstagedrc", ".lintstagedrc.json"),
    f"{_STORE}/semantic-release.json": (".releaserc", ".releaserc.json"),
    f"{_STORE}/nodemon.json": ("nodemon.json",),
    f"{_STORE}/lerna.json": ("lerna.json",),
    f"{_STORE}/nest-cli.json": ("nest-cli.json",),
    f"{_STORE}/bower.json": ("bower.json", ".bower.json"),
    f"{_STORE}/appsettings.json": ("appsettings.json", "appsettings.*.json"),
    f"{_STORE}/launchsettings.json": ("launchSettings.json",),
    f"{_STORE}/global.json": ("global.json",),
    f"{_STORE}/libman.json": ("libman.json",),
    f"{_STORE}/avro-avsc.json": ("*.avsc",),
    f"{_STORE}/asmdef.json": ("*.asmdef",),
    f"{_STORE}/web-manifest-combined.json": ("*.webmanifest",),
    f"{_GITHUB}/Kitware/CMake/master/Help/manual/presets/schema.json": ("CMakePresets.json", "CMakeUserPresets.json"),
    f"{_GITHUB}/devcontainers/spec/main/schemas/devContainer.schema.json": ("devcontainer.json", ".devcontainer.json"),
    f"{_GITHUB}/denoland/deno/main/cli/schemas/config-file.v1.json": ("deno.json", "deno.jsonc"),
    f"{_GITHUB}/firebase/firebase-tools/master/schema/firebase-config.json": ("firebase.json",),
    f"{_GITHUB}/microsoft/pyright/main/packages/vscode-pyright/schemas/pyrightconfig.schema.json": (
        "pyrightconfig.json",
    ),
    f"{_GITHUB}/streetsidesoftware/cspell/main/cspell.schema.json": ("cspell.json", ".cspell.json"),
    "https://getcomposer.org/schema.json": ("composer.json",),
    "https://docs.renovatebot.com/renovate-schema.json": ("renovate.json", ".renovaterc", ".renovaterc.json"),
    "https://biomejs.dev/schemas/latest/schema.json": ("biome.json", "biome.jsonc"),
    "https://typedoc.org/schema.json": ("typedoc.json",),
    "https://openapi.vercel.sh/vercel.json": ("vercel.json",),
}
"""Patterns by URL. Files that mostly name their schema themselves are not in it."""


def known_schema(path: Path) -> str | None:
    """Where the schema for a file of this name is published. Pure."""
    return next((url for url, patterns in CATALOGUE.items() if fits(patterns, path, ())), None)
