"""Parts are read without a thread of Arrow's taking a share of them."""

import re
import subprocess
import sys
from pathlib import Path

import curation

READS_A_PART = """
import os, sys
import polars as pl
from curation.parts import open_parquet, read_group, to_frame, to_table
import pyarrow as pa, pyarrow.parquet as pq

types = {"doc": pa.int64(), **{f"c{i}": pa.float64() for i in range(8)}}
frame = pl.DataFrame({name: range(1000) for name in types}).cast({f"c{i}": pl.Float64 for i in range(8)})
table = to_table(frame, types)
pq.write_table(table, sys.argv[1], row_group_size=300, write_page_checksum=True)
assert to_frame(table).equals(frame)
before = set(os.listdir("/proc/self/task"))
with open(sys.argv[1], "rb") as stream:
    file = open_parquet(stream)
    read = pl.concat(read_group(file, group) for group in range(file.num_row_groups))
    assert read.equals(frame) and read_group(file, 1, ["doc"]).columns == ["doc"]
    if len(sys.argv) > 2:
        pq.ParquetFile(stream).read_row_group(1)
print(len(set(os.listdir("/proc/self/task")) - before), flush=True)
if len(sys.argv) > 2:
    os._exit(0)  # else it aborts now and then, which is why
"""


def _threads_started(*arguments: str) -> int:
    return int(subprocess.run([sys.executable, "-c", READS_A_PART, *arguments], check=True, capture_output=True).stdout)


def test_reading_a_part_starts_no_thread(tmp_path) -> None:
    """A thread that still frees a buffer of Python's when the interpreter ends aborts a run that had gone well."""
    assert _threads_started(str(tmp_path / "part")) == 0
    assert _threads_started(str(tmp_path / "part"), "as arrow reads by itself") > 0


def test_no_stream_is_read_in_any_other_way() -> None:
    for path in Path(curation.__file__).parent.rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"pq\.read_table\(|\bdataset\(", text), path
        for call in re.findall(r"pq\.ParquetFile\(.*", text):
            assert "pre_buffer=False" in call, path
        for call in re.findall(r"\.(?:read_row_group|iter_batches)\(.*", text):
            assert "use_threads=False" in call, path
