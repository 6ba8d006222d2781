#!/usr/bin/env python3
"""The kit's archives: tar and xz, packed and unpacked by the same code.

usage: archive.py FOLDER FILE PRESET      (packs; PRESET 0 to 9)
"""

import hashlib
import json
import lzma
import pathlib
import shutil
import subprocess
import sys
import tarfile

# Before compression, calls and jumps get addresses that do not depend on where they stand.
FILTERS = [{"id": lzma.FILTER_X86}]
DICTIONARY = 128 << 20


def pack(folder, target, preset):
    filters = [*FILTERS, {"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": DICTIONARY if preset > 5 else 8 << 20}]

    def plain(member):
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    part = target.with_suffix(".part")
    with lzma.open(part, "wb", format=lzma.FORMAT_XZ, filters=filters) as stream:
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            for path in sorted(folder.rglob("*")):
                archive.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=plain)
    part.rename(target)


def unpack(source, folder):
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(source, "r:xz") as archive:
        archive.extractall(folder, filter="tar")


def unpack_dictionary(source, folder):
    """The repository's own is packed by zstd, which Python knows from 3.14 on."""
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("zstd"):
        data = subprocess.run(["zstd", "-dqc", str(source)], stdout=subprocess.PIPE, check=True).stdout
    else:
        data = by_library(source)
    plain = folder.with_suffix(".tar")
    plain.write_bytes(data)
    with tarfile.open(plain) as archive:
        for member in archive:
            if member.isfile():
                (folder / pathlib.Path(member.name).name).write_bytes(archive.extractfile(member).read())
    plain.unlink()


def by_library(source):
    try:
        import zstandard
        return zstandard.ZstdDecompressor().stream_reader(source.open("rb")).read()
    except ImportError:
        import pyarrow
        with pyarrow.CompressedInputStream(pyarrow.OSFile(str(source)), "zstd") as stream:
            return stream.read()


def put_back(kit, repository):
    """What the repository has already was taken out of the programs."""
    for program in json.loads((kit / "splice.json").read_text()):
        path = kit / "bin" / program["file"]
        with path.open("r+b") as file:
            for part in program["parts"]:
                file.seek(part["offset"])
                file.write((repository / part["from"]).read_bytes())
        if hashlib.sha256(path.read_bytes()).hexdigest() != program["sha256"]:
            raise SystemExit(f"{program['file']} is not what was packed: the repository beside the kit is another one")
        path.chmod(0o755)


if __name__ == "__main__":
    pack(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]))
