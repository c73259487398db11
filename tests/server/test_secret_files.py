"""`midfill.server.secret_files`: which names are a secret's, and which only look so."""

from pathlib import PurePosixPath, PureWindowsPath

import pytest

from midfill.server.secret_files import secret_pattern


@pytest.mark.parametrize(
    "path",
    [
        *(".env", "app/.env.local", ".env.production", "prod.env", ".envrc", ".ENV"),
        *("tls/server.pem", "server.key", "SERVER.PEM", "keystore.jks", "cert.p12", "cert.pfx", "ca.crt"),
        *("id_rsa", "id_rsa.pub", "id_ed25519", "deploy/id_ecdsa_old", "vault.kdbx"),
        *("credentials", "credentials.json", "gcp-credentials.json", "config/credentials.yml.enc", ".git-credentials"),
        *("secrets.yaml", "secrets.py", "secret.json", "app.secrets.toml", "client_secret_12.apps.json"),
        *("service-account.json", "service-account-prod.json", "x-firebase-adminsdk-1.json"),
        *(".netrc", "_netrc", ".npmrc", ".pypirc", ".pgpass", ".htpasswd"),
        *("terraform.tfstate", "terraform.tfstate.backup", "prod.tfvars", "prod.auto.tfvars.json"),
        *("/home/u/.aws/config", "/home/u/.ssh/config", ".gnupg/gpg.conf", "/home/u/.kube/config", ".KUBE/Config"),
        *(".git/config", "/home/u/.docker/config.json", "/home/u/.config/gcloud/x.json", ".bash_history"),
    ],
)
def test_a_secret_is_known_by_its_name(path: str) -> None:
    assert secret_pattern(PurePosixPath(path)) is not None


@pytest.mark.parametrize(
    "path",
    [
        *("config.json", "settings.json", "package.json", "src/config/config.json", "docker/config.json"),
        *(".env.example", ".env.sample", ".env.template", ".env.production.example", "secrets.yml.example"),
        *("environment.py", "env.py", ".environment", "keys.py", "key.ts", "monkey.py", "keyboard.c"),
        *("CredentialsProvider.java", "credentialing.py", "secretary.py", "test_secrets_manager.py", "token.py"),
        *("ssh/config", "aws/main.tf", "kube/config.go", "main.tf", "variables.tf", "service_account.py"),
        *("id.py", "id_rsacrypt/x.py", ".gitignore", ".gitconfig", ".git/COMMIT_EDITMSG", "/", "", "README.md"),
    ],
)
def test_what_only_sounds_like_one_is_not(path: str) -> None:
    assert secret_pattern(PurePosixPath(path)) is None


def test_a_folder_that_holds_secrets_makes_all_in_it_one() -> None:
    assert secret_pattern(PurePosixPath("/home/u/.ssh/known/.env.example")) == ".ssh/"


def test_windows_paths_are_read_too() -> None:
    assert secret_pattern(PureWindowsPath(r"C:\Users\u\.SSH\Config")) == ".ssh/"
