"""The configurations of web servers."""

from pathlib import Path

from pipeline.keys import FEED_PATTERN, IMMUTABLE, Key
from pipeline.targets.memory import MemoryTarget
from pipeline.tree.servers import server_files

from ..runs import Shop, app


def test_server_files_name_every_type_and_cache_rule() -> None:
    files = server_files(stores_headers=False)
    names = {Path(key).name for key in files}
    assert names == {".htaccess", ".nojekyll", "nginx.conf", "apache.conf", "Caddyfile", "README", "no-referrers.json"}
    for key, raw in files.items():
        text = raw.decode()
        assert "{{" not in text
        if key in {Key("_deltapress/servers/nginx.conf"), Key("_deltapress/servers/Caddyfile")}:
            for folder in ("oci-index", "docker-list", "oci-manifest", "docker-manifest"):
                assert folder in text, (key, folder)
            assert IMMUTABLE in text
            assert FEED_PATTERN in text


def test_a_bucket_needs_no_files_that_say_headers(tmp_path: Path) -> None:
    target = MemoryTarget()
    shop = Shop(tmp_path, target)
    shop.images({"latest": app(1)})
    shop.run()
    assert not [key for key in target.contents if ".htaccess" in key or "/typed/" in key or ".meta" in key]
