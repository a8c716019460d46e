"""Names of flatpak: what may be part of a file's name, and nothing else."""

import pytest

from pipeline.oci.flatpak import MAX_NAME, FlatpakRef, is_branch, is_id, is_remote_name


def test_a_ref_has_four_parts() -> None:
    found = FlatpakRef.parse("app/org.example.My-App/x86_64/1.0-beta")
    assert found == FlatpakRef(kind="app", id="org.example.My-App", arch="x86_64", branch="1.0-beta")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app/org.example.App/x86_64",
        "app/org.example.App/x86_64/stable/x",
        "appstream/org.example.App/x86_64/stable",
        "app/org.example.App//stable",
        "app/../x86_64/stable",
        "app/org.example.App/x86_64/..",
        "app/org.example.App/x86_64/stable\n",
        "app/org/x86_64/stable",
        f"app/org.{'a' * MAX_NAME}/x86_64/stable",
    ],
)
def test_anything_else_is_no_ref(text: str) -> None:
    assert FlatpakRef.parse(text) is None


@pytest.mark.parametrize("text", ["", ".", "..", ".x", "a/b", "a@b", "a b", "ä", "a\n", "x" * (MAX_NAME + 1)])
def test_what_is_no_name(text: str) -> None:
    assert not is_branch(text)
    assert not is_remote_name(text)
    assert not is_id(f"org.{text}")
