"""The files of runs: a few that every run has, made up from its id, and those that a client has uploaded."""

import hashlib
import struct
import zlib
from dataclasses import dataclass

from proxy.standin.jsvalues import stringify
from proxy.standin.presign import path_of
from proxy.standin.rows import log_group_of
from proxy.standin.runs import Run

IMAGE_STEPS = (0, 100)
_CHECKPOINT_BYTES = 100_000
_IMAGE_SIDE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of a run; `file_type` is its extension, `time_s` wall seconds, the body None until it is uploaded."""

    tenant: str
    project: str
    run_id: int
    log_name: str
    file_name: str
    body: bytes | None
    time_s: float
    size_bytes: int
    step: int = 0
    sample_index: int = 0
    caption: str | None = None
    annotations: str | None = None

    @property
    def file_type(self) -> str:
        """What follows the last dot of its name."""
        return self.file_name.rpartition(".")[2]

    @property
    def log_group(self) -> str:
        """The group of the name under which it was logged."""
        return log_group_of(self.log_name)

    @property
    def path(self) -> str:
        """Where it is stored; two files of the same path are the same object."""
        return path_of(f"{self.tenant}/{self.project}/{self.run_id}/{self.log_name}/{self.file_name}")


class Storage:
    """Uploads, and what every run has beside them."""

    def __init__(self) -> None:
        self._uploads: dict[str, StoredFile] = {}

    def put(self, file: StoredFile) -> None:
        """Announce a file, or take its body."""
        self._uploads[file.path] = file

    def announced(self, path: str) -> StoredFile | None:
        """What is, or is about to be, uploaded to a path."""
        return self._uploads.get(path)

    def files(self, run: Run) -> list[StoredFile]:
        """A run's files, by step, place in a list, and name."""
        uploads = [file for file in self._uploads.values() if (file.tenant, file.run_id) == (run.tenant, run.id)]
        found = {file.path: file for file in [*_made_up(run), *uploads]}
        return sorted(found.values(), key=lambda file: (file.step, file.sample_index, file.file_name))


def _made_up(run: Run) -> list[StoredFile]:
    config = stringify(run.config or {}).encode()
    checkpoint = hashlib.shake_256(f"checkpoint/{run.id}".encode()).digest(_CHECKPOINT_BYTES)
    boxes = '{"boxes":[{"x":1,"y":2,"width":3,"height":4,"label":"Straße"}]}'
    return [
        _file(run, "hydra/config", "config.json", config),
        *(
            _file(
                run, "samples/images", f"grid_{step}.png", _image(run.id, step), step=step, caption=f"step {step}", notes=boxes
            )
            for step in IMAGE_STEPS
        ),
        _file(run, "model", "last checkpoint.pt", checkpoint, step=200),
    ]


def _file(
    run: Run, log_name: str, name: str, body: bytes, *, step: int = 0, caption: str | None = None, notes: str | None = None
) -> StoredFile:
    return StoredFile(
        tenant=run.tenant,
        project=run.project,
        run_id=run.id,
        log_name=log_name,
        file_name=name,
        body=body,
        time_s=run.created_at_s + step,
        size_bytes=len(body),
        step=step,
        caption=caption,
        annotations=notes,
    )


def _image(run_id: int, step: int) -> bytes:
    """A grey PNG of 8 by 8 pixels."""
    pixels = hashlib.shake_256(f"image/{run_id}/{step}".encode()).digest(_IMAGE_SIDE**2)
    lines = b"".join(b"\0" + pixels[start : start + _IMAGE_SIDE] for start in range(0, len(pixels), _IMAGE_SIDE))
    header = struct.pack(">IIBBBBB", _IMAGE_SIDE, _IMAGE_SIDE, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
