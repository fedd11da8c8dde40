"""An S3-compatible server on loopback (moto's) behind a proxy that breaks requests, and what tests ask of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import FaultyProxy

from curation.parts import PARTS
from curation.records import COMMITS

KEY_ID = "AKIDTESTKEYIDENTIFIER"
SECRET = "do-not-show-this-secret-4711"


@dataclass
class Store:
    """A bucket of its own. `url` names it; `options` lead through the proxy, one try a request, so that each fault comes to
    the patience that is tested; `files` go to the server itself."""

    proxy: FaultyProxy
    backend: str
    bucket: str = field(default_factory=lambda: f"bucket-{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        self.files.mkdir(self.bucket)

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    @property
    def files(self) -> Any:
        import s3fs

        return s3fs.S3FileSystem(
            key=KEY_ID, secret=SECRET, endpoint_url=self.backend, use_listings_cache=False,
            client_kwargs={"region_name": "eu-west-1"},
        )  # fmt: skip

    @property
    def options(self) -> dict[str, Any]:
        return {
            "key": KEY_ID,
            "secret": SECRET,
            "endpoint_url": self.proxy.url,
            "region": "eu-west-1",
            "config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 1}},
        }

    def profile(self, path: Path, name: str = "proof") -> Path:
        """A file of profiles with these options."""
        lines = [f"[{name}]"] + [
            f"{key} = {json.dumps(value)}" for key, value in self.options.items() if key != "config_kwargs"
        ]
        lines += [f"[{name}.config_kwargs.retries]", 'mode = "standard"', "total_max_attempts = 1"]
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)
        return path

    def put(self, folder: Path, name: str) -> str:
        """Upload a folder's files; its URL."""
        for path in sorted(folder.iterdir()):
            self.files.pipe_file(f"{self.bucket}/{name}/{path.name}", path.read_bytes())
        return f"{self.url}/{name}"

    def outputs(self, out: str) -> dict[str, bytes]:
        """What a run leaves for readers: name -> bytes."""
        root = f"{self.bucket}/{out}"
        names = [n for n in self.files.find(root) if n.endswith(".parquet") and f"{root}/work" not in n]
        return {n.removeprefix(f"{root}/"): self.files.cat_file(n) for n in sorted(names)}

    def committed(self, out: str) -> dict[str, tuple]:
        """Commit record -> when it was made and what is in it."""
        found = self.files.find(f"{self.bucket}/{out}/{COMMITS}", detail=True)
        return {name: (str(info["LastModified"]), info["ETag"]) for name, info in found.items()}

    def parts(self, out: str) -> set[str]:
        return set(self.files.find(f"{self.bucket}/{out}/{PARTS}"))

    def named_parts(self, out: str) -> set[str]:
        """Data files that commit records point to."""
        records = [json.loads(self.files.cat_file(name)) for name in self.committed(out)]
        files = {part["file"] for record in records for part in (record["part"], record.get("dropped")) if part}
        return {f"{self.bucket}/{out}/{PARTS}/{name}" for name in files}


def serve() -> Iterator[str]:
    """The address of a server that ends with the tests."""
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


def census_counts(census: Any) -> Any:
    """A census without times."""
    if isinstance(census, dict):
        return {k: census_counts(v) for k, v in census.items() if "second" not in k}
    return [census_counts(v) for v in census] if isinstance(census, list) else census
