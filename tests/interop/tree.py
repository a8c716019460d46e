"""A hand-written maker of the published tree, until the publisher is there."""

import hashlib
import json
from pathlib import Path

import jinja2

from pipeline.oci import keys
from pipeline.oci.media_types import OCI_INDEX

TEMPLATES = Path(__file__).parents[2] / "templates"


def put(root: Path, key: str, content: bytes) -> None:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)


def start(root: Path) -> None:
    put(root, "v2/index.html", b"{}")
    put(root, "index.html", b"<!doctype html><title>registry</title>")
    put(root, "r/app.html", b"<!doctype html><title>app</title>")
    put(root, "index/static", b'{"Registry": "../", "Results": []}')
    put(root, keys.LEDGER_KEY, b"{}")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    for template in environment.list_templates():
        if template.startswith("servers/"):
            name = Path(template).stem
            text = environment.get_template(template).render(
                types=[{"ext": ext, "media_type": media_type} for media_type, ext in keys.TYPED.items()],
                headers={"immutable": keys.IMMUTABLE, "mutable": keys.MUTABLE, "ping": keys.PING},
                referrers_type=OCI_INDEX,
            )
            put(root, ".htaccess" if name == "htaccess" else keys.server_key(name), text.encode())


def put_manifest(root: Path, repository: str, raw: bytes, media_type: str, tag: str | None) -> str:
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    for reference in (digest, tag):
        if reference is None:
            continue
        put(root, f"v2/{repository}/manifests/{reference}", raw)
        put(root, f"_deltapress/typed/{keys.TYPED[media_type]}/v2/{repository}/manifests/{reference}", raw)
        meta = f"Content-Type: {media_type}\n"
        if reference == digest:
            meta += f"Docker-Content-Digest: {digest}\n"
        put(root, f"v2/{repository}/manifests/.web/{reference}.meta", meta.encode())
        access = root / f"v2/{repository}/manifests/.htaccess"
        old = access.read_text() if access.exists() else ""
        put(
            root,
            str(access.relative_to(root)),
            f'{old}<Files "{reference}">\nForceType {media_type}\n</Files>\n'.encode(),
        )
    put(
        root,
        f"v2/{repository}/referrers/{digest}",
        json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode(),
    )
    tags = sorted(
        p.name
        for p in (root / f"v2/{repository}/manifests").iterdir()
        if ":" not in p.name and not p.name.startswith(".")
    )
    put(root, f"v2/{repository}/tags/list", json.dumps({"name": repository, "tags": tags}).encode())
    return digest


def put_blob(root: Path, repository: str, content: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    put(root, f"v2/{repository}/blobs/{digest}", content)
    return digest
