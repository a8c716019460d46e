"""cosign's signatures of an image, in the two forms in which registries have them; nobody's key has made them."""

import base64

from .builder import OCI, Json, LayoutBuilder, json_bytes

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNS = "https://sigstore.dev/cosign/sign/v1"


def signature_tag(image: Json) -> str:
    """The tag under which cosign looks for signatures."""
    return f"{image['digest'].replace(':', '-')}.sig"


def signature(build: LayoutBuilder, image: Json, *names: str, subject: Json | None = None) -> Json:
    """A manifest with a layer for each name under which the image is signed (cosign, SIGNATURE_SPEC.md)."""
    layers = []
    for name in names or ("registry.example.org/app",):
        critical = {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": image["digest"]},
            "type": "cosign container image signature",
        }
        payload = build.blob(json_bytes({"critical": critical, "optional": None}), PAYLOAD)
        signed = base64.b64encode(f"by {name}".encode()).decode()
        layers.append({**payload, "annotations": {"dev.cosignproject.cosign/signature": signed}})
    config = {
        "architecture": "",
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }
    return build.manifest(build.blob(json_bytes(config), f"{OCI}.config.v1+json"), *layers, subject=subject)


def bundle(build: LayoutBuilder, image: Json, *, predicate: str = SIGNS, data: bytes = b'{"a": "bundle"}') -> Json:
    """What newer versions attach instead: a statement about the image, of which a signature is one kind."""
    return build.manifest(
        build.blob(b"{}", "application/vnd.oci.empty.v1+json"),
        build.blob(data, BUNDLE),
        subject=image,
        artifact_type=BUNDLE,
        annotations={"dev.sigstore.bundle.predicateType": predicate},
    )
