"""Who is judged and by which measures, from their names; what cannot be is named."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path

import zoo
from harness.errors import BadInput, one_line
from harness.measures import MEASURES, PRESETS, Measure, RobustAccuracy
from harness.measures.generation_file import read_generation
from harness.suites.suite import Suite
from leaderboards.records.files import file_stem
from zoo.catalogue import described, has_download
from zoo.described import NOTHING, Said
from zoo.entrant import did_you_mean
from zoo.own_code import OwnCode, raised
from zoo.own_entrants import own_entrants

BOUNDED = "autoattack:bounded"
"""AutoAttack with an interval for an answer: faster; without `:bounded` it is completed later."""


@dataclass
class Faults:
    """What went wrong, by entrant, told in a line each as it is found; decides the exit status."""

    tell: Callable[[str], None]
    bad_input: int = 0
    failed: int = 0

    def add(self, who: str, message: str, *, bad_input: bool) -> None:
        """Count a fault, and tell it."""
        if bad_input:
            self.bad_input += 1
        else:
            self.failed += 1
        self.tell(f"harness: error: {who}: {message}")

    @property
    def status(self) -> int:
        """0 none; 1 something failed; 2 only what the user can mend."""
        return 1 if self.failed else 2 if self.bad_input else 0


def chosen_measures(names: Sequence[str], suite: Suite) -> list[Measure]:
    """Measures by their names, else the suite's, in their fixed order. generation may have a preset or a TOML file behind it,
    autoattack the word `bounded` (harness.measures.bounded)."""
    wanted = list(names) or list(suite.measures)
    bounded = _bounded(wanted)
    wanted = ["autoattack" if name == BOUNDED else name for name in wanted]
    presets = [name.removeprefix("generation:") for name in wanted if name.startswith("generation:")]
    for preset in presets:
        if preset not in PRESETS and not preset.endswith(".toml"):
            raise BadInput(
                f"expected a preset of generation, got {preset!r};{did_you_mean(preset, PRESETS)}"
                f" choose one of {', '.join(PRESETS)}, or give the path of a .toml file"
            )
    if len(presets) > 1:
        raise BadInput(
            f"expected one preset of generation, got {', '.join(presets)}; a record holds one, name it alone"
        )
    wanted = [name.partition(":")[0] if name.startswith("generation:") else name for name in wanted]
    own = [name for name in wanted if ":" in name]
    for name in (name for name in wanted if name not in MEASURES and name not in own):
        raise BadInput(
            f"expected a measure, got {name!r};{did_you_mean(name, MEASURES)} choose among {', '.join(MEASURES)},"
            " or name your own as my_module:Mine"
        )
    usual = PRESETS["short" if suite.dataset == "digits" else "10k"]
    drawn = [PRESETS.get(preset) or read_generation(Path(preset), usual) for preset in presets] or [usual]
    attack = MEASURES["autoattack"]
    assert isinstance(attack, RobustAccuracy)
    chosen = {**MEASURES, "autoattack": replace(attack, bounded=bounded), "generation": drawn[0]}
    return [*(chosen[name] for name in MEASURES if name in wanted), *map(own_measure, dict.fromkeys(own))]


def _bounded(wanted: Sequence[str]) -> bool:
    """Whether AutoAttack's bounded answer is asked for. Raises BadInput for another preset of it, and for both answers."""
    presets = {name for name in wanted if name.startswith("autoattack:")}
    for other in sorted(presets - {BOUNDED}):
        raise BadInput(f"expected autoattack or {BOUNDED}, got {other!r}; choose one of the two")
    if presets and "autoattack" in wanted:
        raise BadInput(f"expected one of autoattack and {BOUNDED}, got both; a record holds one answer, name one")
    return bool(presets)


def own_measure(name: str) -> Measure:
    """A measure of the user's own, by `module:callable` of the working directory: a class, or a function that returns one.

    Raises EntrantError where the module or the name is not there, BadInput where what it gives is no measure of its own name.
    """
    find = OwnCode.parse(name, "a measure").find()
    try:
        found = find()
    except Exception as error:  # it is the user's code
        raise BadInput(f"expected {name} to give a measure, got {raised(error)}") from error
    if Measure not in type(found).__mro__:
        raise BadInput(
            f"expected {name} to give a harness.measures.Measure, got a {type(found).__name__}; derive its class from it"
        )
    if found.name in MEASURES:
        raise BadInput(f"expected a name of its own for the measure {name}, got {found.name!r}; rename it")
    return found


SEEDS = 2**31
"""A seed is below this: every generator of random numbers takes it."""


def with_seed(measures: Sequence[Measure], seed: int | None) -> list[Measure]:
    """The measures with a seed in place of their own; None leaves them as they are.

    Raises BadInput for a seed that is none, and for a measure whose seed is no field of it.
    """
    if seed is None:
        return list(measures)
    if not 0 <= seed < SEEDS:
        raise BadInput(f"expected a seed from 0 to {SEEDS - 1}, got {seed}; give another")
    for measure in measures:
        if not is_dataclass(measure) or "seed" not in {field.name for field in fields(measure) if field.init}:
            raise BadInput(
                f"expected a measure that takes a seed, got {measure.name}, a {type(measure).__name__};"
                " make `seed: int = 0` a field of its dataclass, or leave the seed out"
            )
    return [replace(measure, seed=seed) for measure in measures]  # type: ignore[type-var]


def attacked_by(measures: Sequence[Measure], engine: str | None, search: str | None) -> tuple[Measure, ...]:
    """The measures with AutoAttack by this engine and in this precision of its search; None leaves what they say.

    Raises BadInput for an unknown one, and where AutoAttack is not among the measures.
    """
    changes = {what: said for what, said in (("engine", engine), ("search", search)) if said is not None}
    if changes and not any(isinstance(measure, RobustAccuracy) for measure in measures):
        raise BadInput(
            f"expected the measure autoattack with --{' and --'.join(changes)}, got"
            f" {', '.join(measure.name for measure in measures)}; measure autoattack, or leave it out"
        )
    return tuple(replace(m, **changes) if isinstance(m, RobustAccuracy) else m for m in measures)  # type: ignore[arg-type]


def chosen_entrants(
    specs: Sequence[str],
    suite: Suite,
    *,
    model_dir: Path,
    own_folders: Sequence[Path],
    allow_pickle: Sequence[str],
    said: Said = NOTHING,
    card: Path | None = None,
) -> list[zoo.Entrant]:
    """Entrants by their specs, else the suite's own and default ones. `said`, or a file `card`, tells who the one of `specs`
    is.

    Raises BadInput where two have one name, or one would be told of several.
    """
    if (said or card is not None) and len(specs) != 1:
        raise BadInput(
            f"expected one entrant with --name, --title, --paper or --card, got {len(specs) or 'none'}; name it with"
            " --entrants checkpoint:PATH@ARCHITECTURE or python:MODULE:CALLABLE, each in a run of its own"
        )
    folders = tuple(own_folders)
    named = specs or None
    every = (entrant for domain in suite.domains[::-1] for entrant in own_entrants(domain, folders, model_dir, named))
    own = {entrant.card.name: entrant for entrant in every}

    def find(spec: str) -> zoo.Entrant:
        domain = suite.domains[-1] if spec in own and own[spec].domain != suite.domain else suite.domain
        return zoo.find(spec, domain, model_dir=model_dir, own_folders=folders, allow_pickle=allow_pickle)

    found = [find(spec) for spec in specs] if specs else [*own.values(), *(find(spec) for spec in suite.entrants)]
    found = [described(entrant, said, card) for entrant in found]
    unique = list({entrant.spec: entrant for entrant in found}.values())
    by_name: dict[str, str] = {}
    for entrant in unique:
        other = by_name.setdefault(file_stem(entrant.card.name), entrant.spec)
        if other != entrant.spec:
            raise BadInput(
                f"expected entrants with different names, got {other} and {entrant.spec}, both {entrant.card.name!r};"
                " rename one, or judge them in two runs with two --out"
            )
    return unique


def find_files(
    entrants: Sequence[zoo.Entrant], suite: Suite, *, named: bool, download: bool, faults: Faults
) -> list[tuple[zoo.Entrant, zoo.Weights]]:
    """The entrants whose files are here (fetched with --download), hashed; the others are named with what to do."""
    ready = []
    for entrant in entrants:
        name = entrant.card.name
        try:
            if entrant.missing():
                if download:
                    faults.tell(f"fetching {name}")
                    entrant.fetch()
                elif not has_download(entrant):
                    entrant.weights()  # says what is missing
                else:
                    spec = shlex.quote(entrant.spec)
                    command = f"harness run --suite {shlex.quote(suite.name)} --entrants {spec} --download"
                    if named:
                        faults.add(name, f"expected its files, got none here; do: {command}", bad_input=True)
                    else:
                        faults.tell(f"not here: {name}; to fetch and judge it: {command}")
                    continue
            ready.append((entrant, weights := entrant.weights()))
            if weights.note:
                faults.tell(f"{name}: {weights.note}")
        except (BadInput, zoo.EntrantError) as error:
            faults.add(name, one_line(error), bad_input=True)
    return ready
