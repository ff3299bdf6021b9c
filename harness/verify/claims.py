"""What a record says of its suite, its images, its entrant and the weights, held against those that are found here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zoo
from harness.data.images import ImageSet
from harness.data.parts import first_examples
from harness.errors import BadInput, one_line
from harness.run.folders import own_folders
from harness.run.inputs import suite_images
from harness.run.plan import Judged
from harness.run.portable import of_one_place
from harness.run.selection import chosen_entrants
from harness.suites.files import find_suite
from harness.suites.suite import SUITES, Suite
from harness.toml import read_toml
from harness.verify.verdict import Findings
from leaderboards.records.files import line
from leaderboards.records.schema import Record
from zoo.architectures import is_own
from zoo.catalogue import called, has_download

_Key = tuple[str, ...]


@dataclass(frozen=True)
class Claims:
    """Finds what records speak of, each data set once. `own` are specs and names that may run code of the user's own, and
    `models` classifiers in memory, by the entrant's name."""

    data_dir: Path
    model_dir: Path
    download: bool = False
    allow_pickle: Sequence[str] = ()
    own: Sequence[str] = ()
    models: Mapping[str, zoo.Entrant] = field(default_factory=dict)
    _images: dict[_Key, ImageSet] = field(default_factory=dict)

    def __call__(self, record: Record, findings: Findings) -> tuple[Suite, Judged] | None:
        """The suite and the entrant of a record; None where one of them is not here, or is not what the record says."""
        before = len(findings.faults)
        suite = self._suite(record, findings)
        judged = self._judged(record, suite, findings) if suite else None
        if suite is None or judged is None:
            return None
        if judged.images.name != suite.dataset:  # JPEG copies stand under a name of their own
            suite = suite.found_as(judged.images.name)
        findings.faults += [*_suite_differs(record, suite, judged.images), *_entrant_differs(record, judged)]
        same = len(findings.faults) == before
        return (suite, judged) if same else None

    def _suite(self, record: Record, findings: Findings) -> Suite | None:
        words = list(record.suite_words) or ["--suite", record.suite.name]
        # an odd word has no partner: it is refused below
        options = dict(zip(words[::2], words[1::2], strict=False))
        try:
            if len(words) % 2 or not {"--suite"} <= options.keys() <= {"--suite", "--dataset"}:
                raise BadInput(f"expected the words of a suite, got {line(' '.join(words))}; measure again")
            if ":" in (data := options.get("--dataset", "")) and not self._may_run(record, data):
                findings.missing.append(_own_code(record, data))
                return None
            if ":" in (data_of_file := _data_of(options["--suite"])) and not self._may_run(record, data_of_file):
                findings.missing.append(_own_code(record, data_of_file))
                return None
            suite = find_suite(options["--suite"])
            suite = suite.on(data) if data else suite
        except (ValueError, OSError) as error:  # BadInput, EntrantError, and paths that no system takes
            findings.missing.append(f"its suite is not here: {one_line(error)}")
            return None
        return suite

    def _may_run(self, record: Record, code: str) -> bool:
        return bool({record.entrant.name, record.entrant.spec, code} & set(self.own))

    def _judged(self, record: Record, suite: Suite, findings: Findings) -> Judged | None:
        spec, name = record.entrant.spec, record.entrant.name
        # python:module:callable, and checkpoint:path@module:callable
        if ":" in spec.partition(":")[2] and not self._may_run(record, spec):
            findings.missing.append(_own_code(record, spec))
            return None
        try:
            entrant = self.models.get(name) or self._entrant(spec, name, suite)
            built = entrant.card.architecture if name not in self.models else ""
            if is_own(built) and not self._may_run(record, built):  # a card beside the weights may name code
                findings.missing.append(_own_code(record, built))
                return None
            if entrant.missing():
                if not self.download and has_download(entrant):
                    findings.missing.append("its weights are not here; run the same command with --download")
                    return None
                if self.download:
                    entrant.fetch()
            weights = entrant.weights()
        except (BadInput, zoo.EntrantError) as error:
            findings.missing.append(f"its classifier is not here: {one_line(error)}")
            return None
        except Exception as error:  # noqa: BLE001  an entrant's own code is that entrant's failure alone
            findings.missing.append(f"its classifier cannot be had: {type(error).__name__}: {one_line(error)}")
            return None
        try:
            transform = entrant.transform()
            how = " ".join(repr(transform).split()) if transform else ""
            key = (suite.name, suite.loaded_from, *suite.asked, how)
            if key not in self._images:
                self._images[key] = suite_images(
                    suite, data_dir=self.data_dir, download=self.download, transform=transform
                )
            return Judged(entrant, weights, self._judged_on(key, suite, record.limit), how)
        except (ValueError, OSError) as error:
            findings.missing.append(f"its images are not here: {one_line(error)}")
            return None

    def _judged_on(self, key: _Key, suite: Suite, limit: int | None) -> ImageSet:
        """The images of a record of this limit. Raises BadInput where too few of them are here."""
        images = self._images[key]
        whole = suite.size(images.size)
        wanted = min(limit or whole, whole)
        if wanted > len(images):
            raise BadInput(
                f"expected {wanted} examples of {images.name}, got its first {len(images)} ({images.source}); put {images.name}"
                " itself there"
            )
        cut = (*key, f"first {limit}")
        if cut not in self._images:
            self._images[cut] = first_examples(images, limit)
        return self._images[cut]

    def _entrant(self, spec: str, name: str, suite: Suite) -> zoo.Entrant:
        (found,) = chosen_entrants(
            [spec], suite, model_dir=self.model_dir, own_folders=own_folders(), allow_pickle=self.allow_pickle
        )
        return called(found, name)


def _data_of(suite: str) -> str:
    """What the file of a suite calls its data, which may be code: it is looked at before anything runs it."""
    if suite in SUITES:
        return ""
    if not Path(suite).is_file():  # a pipe would be waited for
        raise BadInput(
            f"expected a suite by name or the path of a .toml file, got {line(suite)}; put the file in place"
        )
    return str(read_toml(Path(suite), "a suite").get("dataset", ""))


def _own_code(record: Record, code: str) -> str:
    name = line(record.entrant.name)
    return f"it runs code by the name that the record gives ({line(code)}); if you trust that code: --entrants {name}"


def _suite_differs(record: Record, suite: Suite, images: ImageSet) -> Iterator[str]:
    here = {
        "name": suite.name,
        "version": suite.version,
        "dataset": suite.dataset,
        "split": images.split,
        "fingerprint": images.fingerprint,
        "examples": suite.size(images.size),
        "norm": suite.norm,
        "eps": suite.threat.eps,
    }
    for key, held in record.suite.model_dump().items():
        if here[key] != held:
            yield f"suite: its {key} is {line(held, 80)} in the record, and {line(here[key], 80)} here"


def _entrant_differs(record: Record, judged: Judged) -> Iterator[str]:
    said, card = record.entrant, judged.entrant.card
    files = [(file.name, file.sha256) for file in judged.weights.files]
    here = {"name": card.name, "source": card.source, "architecture": card.architecture}
    here["published"] = (
        card.published
    )  # a record that names a row by itself would stand beside another network's number
    for key, held in here.items():
        if getattr(said, key) != held:
            words = [line(text, 80) or "empty" for text in (getattr(said, key), held)]
            yield f"entrant: its {key} is {words[0]} in the record, and {words[1]} here"
    if not of_one_place(said.spec, judged.entrant.spec):
        yield f"entrant: its spec is {line(said.spec, 80)} in the record, and {line(judged.entrant.spec, 80)} here"
    if said.weights_sha256 != judged.weights.sha256:
        yield (
            f"entrant: its weights have the sha256 {judged.weights.sha256[:16]} here, and {said.weights_sha256[:16]} in"
            " the record: they are other weights"
        )
    elif [(file.name, file.sha256) for file in said.files] != files:
        yield "entrant: the files that the record names are not those of its weights"
