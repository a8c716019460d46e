"""Where credentials, certificates and proxies are looked for, by the environment."""

import argparse
import os
from pathlib import Path

import pytest

from pipeline.cli.registries import add_registry_options, http_options
from pipeline.targets.http.options import HTTPOptions


def found(environment: dict[str, str], *arguments: str) -> HTTPOptions:
    parser = argparse.ArgumentParser()
    add_registry_options(parser)
    return http_options(parser.parse_args(arguments), environment)


@pytest.mark.parametrize(
    ("environment", "files"),
    [
        (
            {"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7"},
            ["/run/user/7/containers/auth.json", "/home/u/.config/containers/auth.json", "/home/u/.docker/config.json"],
        ),
        (
            {"HOME": "/home/u", "XDG_CONFIG_HOME": "/c", "DOCKER_CONFIG": "/d"},
            [f"/run/containers/{os.getuid()}/auth.json", "/c/containers/auth.json", "/d/config.json"],
        ),
        ({"HOME": "/home/u", "REGISTRY_AUTH_FILE": "/a.json"}, ["/a.json"]),
        ({}, [f"/run/containers/{os.getuid()}/auth.json"]),
    ],
)
def test_credentials_are_where_podman_and_docker_keep_them(environment: dict[str, str], files: list[str]) -> None:
    assert list(map(str, found(environment).credential_files)) == files
    assert found(environment, "--authfile", __file__).credential_files == (Path(__file__),)


def test_credentials_that_are_named_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        found({}, "--authfile", "/none/auth.json")
    assert ended.value.code == 2
    assert "--authfile: '/none/auth.json' does not exist; it holds the credentials" in capsys.readouterr().err


def test_certificates_and_proxies() -> None:
    environment = {
        "HOME": "/home/u",
        "HTTPS_PROXY": "http://p:1",
        "http_proxy": "http://p:2",
        "NO_PROXY": "x",
        "no_proxy": "",
    }
    options = found(environment, "--ca", "ca", "--cert", "c", "--key", "k")
    folders = ["/home/u/.config/containers/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d"]
    assert list(map(str, options.certificate_folders)) == folders
    assert (options.ca_file, options.client_cert, options.client_key) == (Path("ca"), Path("c"), Path("k"))
    assert options.proxies == {"https": "http://p:1", "http": "http://p:2", "no": "x"}
