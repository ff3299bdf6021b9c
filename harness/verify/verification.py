"""Records proved again: read, held against themselves, their suite and their classifier, and every witness replayed.

"proved" says that at most so many examples are robust: every broken one was broken again here, by an image that anyone can
look at. Numbers that are not proved in this way are computed again from the arrays where these are all kept. What is told and
not proved: who a record says that somebody is (titles, authors, what the card says of the training), how long it took, on what
machine, the seed, flags about the course of a run, energies of attacked images beyond what their arrays say, and measures
whose arrays are not all kept. And a number can be too high: who hides witnesses, and seals again, proves less. An audit, and
`harness challenge`, tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import nn

import zoo
from harness.classifier import across
from harness.classifier.determinism import deterministic
from harness.classifier.devices import devices
from harness.errors import BadInput, one_line
from harness.provenance import commit
from harness.run.plan import Judged
from harness.run.shard import prepared
from harness.suites.suite import Suite
from harness.verify.audit import Audited, audited
from harness.verify.claims import Claims
from harness.verify.evidence import Evidence, gathered
from harness.verify.figures import recomputed
from harness.verify.natural import ROUNDING, Natural, held_against, shown
from harness.verify.replay import BATCH
from harness.verify.verdict import Findings, Outcome, Proof, Verdict
from harness.verify.witnesses import replay
from leaderboards.records.files import line
from leaderboards.records.invariants import SURVIVED
from leaderboards.records.schema import Record
from leaderboards.records.verifications import Verification, verification_path, write_verification


@dataclass(frozen=True)
class Verifying:
    """Verifies one record after another on a device; `claims` finds suites and entrants. `audit` survivors are attacked again
    with `seed` (None: the record's, and one more). `mark` keeps what was found beside the record, where it can be
    written; None: unless the same was found of it before.
    Networks are kept from one record to the next."""

    claims: Claims
    device: torch.device
    audit: int = 0
    seed: int | None = None
    mark: bool | None = None
    save: Path | None = None
    _models: dict[tuple[str, str, str], nn.Module] = field(default_factory=dict)

    def __call__(self, path: Path, shown_as: str = "") -> Verdict:
        """Verify the record of a file, which lies in its home. Nothing but KeyboardInterrupt and the like is raised."""
        begun = time.perf_counter()
        findings, audit, proof = Findings(), None, None
        evidence = gathered(path, findings, download=self.claims.download)
        if evidence is not None:
            recomputed(evidence, findings)
            if (there := self.claims(evidence.record, findings)) is not None:
                proof, audit = self._asked(evidence, *there, findings)
        verdict = _verdict(shown_as or str(path), path, evidence, findings, proof, audit)
        verdict = replace(verdict, seconds=round(time.perf_counter() - begun, 3))
        if self.mark is not False and evidence is not None and evidence.in_place:
            _marked(evidence, verdict, renew=self.mark is True)
        if self.save is not None and audit is not None and len(audit.examples):
            _saved(self.save, verdict, audit)
        return verdict

    def _asked(
        self, evidence: Evidence, suite: Suite, judged: Judged, findings: Findings
    ) -> tuple[Proof | None, Audited | None]:
        """What the classifier itself says. Its code is its own affair: what it raises is told, and ends this record alone."""
        try:
            # all threads: what rounding may change is allowed for
            with (
                deterministic(self.device, torch.get_num_threads()),
                torch.random.fork_rng(devices=_cards(self.device)),
            ):
                torch.manual_seed(0)
                return self._shown(evidence, suite, judged, findings)
        except (BadInput, zoo.EntrantError) as error:
            findings.missing.append(f"its classifier cannot be asked: {one_line(error)}")
        except Exception as error:  # noqa: BLE001  an entrant's own code
            findings.missing.append(f"its classifier failed: {type(error).__name__}: {one_line(error)}")
        return None, None

    def _shown(
        self, evidence: Evidence, suite: Suite, judged: Judged, findings: Findings
    ) -> tuple[Proof | None, Audited | None]:
        record, n = evidence.record, _judged_examples(evidence.record)
        model, precision = self._model(record, suite, judged)
        if (size := sum(parameter.numel() for parameter in model.parameters())) != record.entrant.parameters:
            findings.faults.append(
                f"entrant: it has {size} parameters, and the record says {record.entrant.parameters}"
            )
        natural = shown(model, judged.images, n, across.beside(self.device), precision)
        held_against(natural, evidence, findings)
        proved = {
            name: replay(
                name, model, judged.images, bundle, suite.threat, natural, across.beside(self.device), findings, BATCH
            )
            for name, bundle in evidence.bundles.items()
        }
        wrong = np.flatnonzero(~natural.correct)
        by_attack = np.setdiff1d(proved.pop("autoattack", np.zeros(0, np.int64)), wrong)
        others = np.unique(np.concatenate([*proved.values(), np.zeros(0, np.int64)]))
        beside = np.setdiff1d(others, np.concatenate([wrong, by_attack]))
        proof = Proof(n, len(wrong), len(by_attack), len(beside))
        return proof, self._audited(evidence, model, suite, judged, natural, others, findings)

    def _model(self, record: Record, suite: Suite, judged: Judged) -> tuple[nn.Module, str]:
        made = [record.measurements[name] for name in ("autoattack", "standard") if name in record.measurements]
        precision = (made or [*record.measurements.values()])[0].provenance.precision if record.measurements else "fp32"
        if precision not in ROUNDING:
            raise BadInput(f"expected a precision of {', '.join(ROUNDING)}, got {line(precision, 80)}; measure again")
        key = (judged.weights.sha256, precision, judged.entrant.spec)
        if key not in self._models:
            self._models.clear()  # one at a time: large ones fill a card
            self._models[key] = prepared(judged, suite, precision, self.device)
        return self._models[key], precision

    def _audited(
        self,
        evidence: Evidence,
        model: nn.Module,
        suite: Suite,
        judged: Judged,
        natural: Natural,
        others: np.ndarray,
        findings: Findings,
    ) -> Audited | None:
        """Survivors attacked again, where that is asked for and nothing has been found wrong so far."""
        stage = evidence.arrays.get("autoattack", {}).get("stage")
        if not self.audit or findings.faults or stage is None:
            return None
        left = np.setdiff1d(np.flatnonzero((stage == SURVIVED) & natural.correct), others)
        seed = evidence.record.measurements["autoattack"].seed + 1 if self.seed is None else self.seed
        found = audited(model, judged.images, left, suite.threat, across.beside(self.device), self.audit, seed)
        if found.differs:
            findings.faults.append(found.differs)
        elif found.audit.broken:
            findings.notes.append(
                f"the audit broke {found.audit.broken} survivors: --save keeps their images for harness challenge"
            )
        return found


def verify(
    files: Sequence[Path],
    *,
    device: str = "auto",
    audit: int = 0,
    seed: int | None = None,
    data_dir: Path | str = "data",
    model_dir: Path | str = "models",
    download: bool = False,
    allow_pickle: Sequence[str] = (),
    own: Sequence[str] = (),
    models: Mapping[str, zoo.Entrant] | None = None,
    mark: bool | None = None,
    save: Path | None = None,
) -> Iterator[Verdict]:
    """Verify the records of these files (harness.verify.chosen finds them), one verdict each, in their order.

    `own` are entrants (names or specs) whose code may be run by the name that a record gives; `models` gives classifiers for
    entrants by name, zoo.in_memory.in_memory(model, name). Raises BadInput for a device that is not here.
    """
    claims = Claims(Path(data_dir), Path(model_dir), download, tuple(allow_pickle), tuple(own), models or {})
    verifying = Verifying(claims, devices(device, 0)[0], audit, seed, mark, save)
    return map(verifying, files)


def _judged_examples(record: Record) -> int:
    return min(record.limit or record.suite.examples, record.suite.examples)


def _cards(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _verdict(
    shown_as: str, path: Path, evidence: Evidence | None, findings: Findings, proof: Proof | None, audit: Audited | None
) -> Verdict:
    outcome, record = findings.outcome, evidence.record if evidence else None
    if outcome is Outcome.PROVED and proof is None:  # nothing showed it
        outcome, findings.missing = Outcome.CANNOT, ["nothing was shown to its classifier"]
    said = {Outcome.DIFFERS: findings.faults, Outcome.CANNOT: findings.missing}.get(outcome, [])
    return Verdict(
        file=shown_as,
        entrant=record.entrant.name if record else path.stem,
        suite=record.suite.name if record else path.parent.name,
        limit=record.limit if record else None,
        outcome=outcome,
        statement=said[0] if said else proof.statement if proof else "",
        faults=tuple(findings.faults),
        missing=tuple(findings.missing),
        notes=tuple(findings.notes),
        examples=proof.examples if proof else 0,
        misclassified=proof.misclassified if proof else 0,
        witnesses=proof.witnesses + proof.beside if proof else 0,
        record_sha256=evidence.sha256 if evidence else "",
        audit=audit.audit if audit else None,
    )


def _marked(evidence: Evidence, verdict: Verdict, renew: bool) -> None:
    """Keep what was found beside the record; a folder that cannot be written, or is a link out of the home, stays as it is."""
    place = verification_path(evidence.home, evidence.record)
    if not place.resolve().is_relative_to(evidence.home.root.resolve()):
        return
    found = Verification(
        record_sha256=evidence.sha256,
        verdict=verdict.outcome.value,
        statement=line(verdict.statement, 400),
        examples=verdict.examples,
        misclassified=verdict.misclassified,
        witnesses=verdict.witnesses,
        verified_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit()[0],
        audit=verdict.audit,
    )
    try:
        write_verification(evidence.home, evidence.record, found, renew)
    except OSError:
        return


def _saved(folder: Path, verdict: Verdict, audit: Audited) -> None:
    """Write the images of survivors that broke, as `harness challenge` takes them: image (N, H, W, C), index (N,)."""
    from leaderboards.records.files import file_stem

    folder.mkdir(parents=True, exist_ok=True)
    images = np.ascontiguousarray(audit.images.transpose(0, 2, 3, 1))
    with (folder / f"{file_stem(verdict.entrant)}.npz").open("wb") as stream:
        np.savez(stream, image=images, index=audit.examples)
