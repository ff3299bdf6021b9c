"""Per-sample arrays beside the records: safetensors files named by the sha256 of their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from leaderboards.records.bounds import MOST_ARRAYS, require_header, sha256_within
from leaderboards.records.files import line, write_atomically
from leaderboards.records.renames import renamed
from leaderboards.records.schema import Arrays, Measurement, Record, RecordError


def write_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Write per-sample arrays under the sha256 of their bytes; equal arrays give equal files.

    Raises RecordError for more than can be read back.
    """
    # not ascontiguousarray: it makes a vector of a scalar
    ordered = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    content = save_arrays(ordered)
    if len(content) > MOST_ARRAYS:
        raise RecordError(
            f"expected per-sample arrays of at most {MOST_ARRAYS // 2**20} MB, got {len(content)} bytes; keep fewer numbers"
        )
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"{digest}.safetensors"
    if not path.exists() or path.read_bytes() != content:  # a damaged file is mended by measuring again
        write_atomically(path, content)
    return Arrays(sha256=digest, names=tuple(ordered))


def read_arrays(folder: Path, arrays: Arrays) -> dict[str, np.ndarray]:
    """Read and verify per-sample arrays: their bytes by the sha256, and that every name the record gives is there.

    Raises RecordError where they are missing or are not what was written.
    """
    where, path = f"{folder.name}/{arrays.file}", folder / arrays.file
    try:
        digest = sha256_within(path, MOST_ARRAYS, where)
    except OSError as error:
        raise RecordError(f"expected arrays in {where}, got nothing; run the measure again to make them") from error
    if digest != arrays.sha256:
        raise RecordError(f"expected {where} to have the sha256 of its name, got {digest}; measure again to mend it")
    try:
        require_header(path, where)
        loaded = load_arrays(path.read_bytes())
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(
            f"expected safetensors in {where}, got {line(error)}; remove the file and measure again"
        ) from error
    missing = sorted(set(arrays.names) - set(loaded))
    if missing:
        raise RecordError(f"expected array {line(missing[0])!r} in {where}, got {line(sorted(loaded))}; measure again")
    return loaded


def measured_arrays(folder: Path, measurement: Measurement) -> dict[str, np.ndarray]:
    """A measurement's per-sample arrays by the names of today; empty where it has none. Raises RecordError as above."""
    held = {} if measurement.arrays is None else read_arrays(folder, measurement.arrays)
    return renamed(measurement.measure, held)


def sound_arrays(folder: Path, record: Record) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """A record's arrays, by measure and by the names of today, and what is wrong with the others, by measure or 'dynamics';
    the latter is empty where all files are as they were written."""
    sound: dict[str, dict[str, np.ndarray]] = {}
    wrong: dict[str, str] = {}
    for name, arrays in record.arrays.items():
        try:
            found = read_arrays(folder, arrays)
        except RecordError as error:
            wrong[name] = str(error)
            continue
        if name in record.measurements:
            sound[name] = renamed(name, found)
    return sound, wrong


def unsound_arrays(folder: Path, record: Record) -> dict[str, str]:
    """What is wrong with a record's arrays, by measure or 'dynamics'; empty where all files are as they were written."""
    return sound_arrays(folder, record)[1]
