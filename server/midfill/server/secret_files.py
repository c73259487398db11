"""Files that are secret by their name: they are neither filled nor shown to the model, wherever they are."""

from fnmatch import fnmatchcase
from pathlib import PurePath

# In lower case; one with a slash is matched with the folder's name before it. Source files that only speak of
# secrets stay usable where their name allows it: CredentialsProvider.java is no credentials.*, config.json is none.
SECRET = (
    *(".env", ".env.*", ".env-*", ".env_*", "*.env", ".envrc"),
    *("*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.kdb", "*.kdbx", "*.agekey"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.crt", "*.cer", "*.der", "*.p7b", "*.ovpn"),
    *("credentials", "credentials.*", "*[-_.]credentials", "*[-_.]credentials.*", ".git-credentials"),
    *("secret.*", "secrets.*", "*[-_.]secret.json", "*[-_.]secrets.*", "client_secret*.json", ".vault-token"),
    *("service-account*.json", "service_account*.json", "serviceaccount*.json", "*-firebase-adminsdk-*.json"),
    *(".netrc", "_netrc", ".npmrc", ".pypirc", ".pgpass", ".my.cnf", ".dockercfg", ".s3cfg", ".boto", ".htpasswd"),
    *("*.tfstate", "*.tfstate.*", "*.tfvars", "*.tfvars.json", ".terraformrc", "*.kubeconfig", "kubeconfig"),
    *(".bash_history", ".zsh_history", ".python_history", ".psql_history", ".mysql_history", ".node_repl_history"),
    *(".git/config", ".docker/config.json", ".m2/settings.xml", "gh/hosts.yml"),
)
SECRET_FOLDERS = frozenset({".aws", ".azure", ".gcloud", "gcloud", ".gnupg", ".kube", ".password-store", ".ssh"})
EXAMPLES = ("*.example", "*.sample", "*.template", "*.dist", "example.env", "sample.env", "template.env")


def secret_pattern(path: PurePath) -> str | None:
    """What makes this path a secret's, or None. It looks at the name alone, not at links or at what is in the file."""
    *folders, name = (part.lower() for part in path.parts) if path.name else ("",)
    for folder in folders:
        if folder in SECRET_FOLDERS:
            return f"{folder}/"
    if any(fnmatchcase(name, example) for example in EXAMPLES):
        return None
    tail = f"{folders[-1]}/{name}" if folders else name
    return next((pattern for pattern in SECRET if fnmatchcase(tail if "/" in pattern else name, pattern)), None)
