"""What runs are called and configured with: made up, and the same every time for the same run id."""

import zlib

from proxy.standin.runs import Fields

_ADJECTIVES = ("amber", "brisk", "calm", "dapper", "eager", "frosty", "gentle", "hazy", "jolly", "keen", "lucid", "mellow")
_NOUNS = ("otter", "falcon", "maple", "comet", "harbor", "lantern", "meadow", "nebula", "quartz", "river", "summit", "willow")
_TAGS = ("baseline", "sweep", "ablation", "nightly", "größe-7b", "resumed")
_OPTIMIZERS = ("adamw", "lion", "sgd")


def name_of(run_id: int) -> str:
    """Such as `brisk-otter-1001`."""
    return f"{_pick(_ADJECTIVES, run_id, 'adjective')}-{_pick(_NOUNS, run_id, 'noun')}-{run_id}"


def tags_of(run_id: int) -> list[str]:
    """One tag or two, one of them perhaps beyond ASCII."""
    first, second = (_pick(_TAGS, run_id, which) for which in ("tag", "other tag"))
    return [first] if first == second else [first, second]


def config_of(run_id: int) -> Fields:
    """Numbers, texts, a list and a nested object, as configurations have them."""
    return {
        "lr": (1 + _hash(run_id, "lr") % 9) / 10_000,
        "batch_size": 2 ** (4 + _hash(run_id, "batch") % 4),
        "optimizer": _pick(_OPTIMIZERS, run_id, "optimizer"),
        "seed": _hash(run_id, "seed") % 1000,
        "model": {"name": "transformer", "layers": 6 + _hash(run_id, "layers") % 18, "dropout": 0.1},
        "betas": [0.9, 0.999],
        "note": "naïve π schedule",
        "resume_from": None,
    }


def system_metadata_of(run_id: int) -> Fields:
    """The machine it runs on, and the job that started it."""
    job_name = f"train-{_pick(_NOUNS, run_id, 'noun')}-{_hash(run_id, 'job') % 0x10000:04x}"
    return {
        "hostname": f"gpu-node-{_hash(run_id, 'node') % 16:02d}",
        "python": "3.12.4",
        "gpu": {"nvidia": {"count": 8, "name": "H100"}},
        "konduktor": {"job_name": job_name},
    }


def _pick(words: tuple[str, ...], run_id: int, salt: str) -> str:
    return words[_hash(run_id, salt) % len(words)]


def _hash(run_id: int, salt: str) -> int:
    return zlib.crc32(f"{run_id}/{salt}".encode())
