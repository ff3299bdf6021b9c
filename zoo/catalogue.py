"""From what a person types to an entrant, and every entrant of a suite."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from zoo.architectures import require_architecture
from zoo.callables import PythonEntrant
from zoo.checkpoint_spec import CheckpointSpec
from zoo.checkpoints import CheckpointEntrant
from zoo.described import NOTHING, Said
from zoo.entrant import Domain, Entrant, EntrantError, did_you_mean
from zoo.own_entrants import own_entrants, own_names
from zoo.published import published, published_result
from zoo.robustbench import RobustBenchEntrant

FORMS = "robustbench:<name>, checkpoint:<path>[@<architecture or module:callable>], python:<module>:<callable>, or a name alone"
PREFIXES = ("robustbench", "checkpoint", "python")


def find(
    spec: str,
    domain: Domain,
    *,
    model_dir: Path,
    own_folders: Sequence[Path] = (),
    allow_pickle: Collection[str] = (),
) -> Entrant:
    """The entrant that `spec` names (see FORMS); a name alone is an own entrant's, else RobustBench's.

    `model_dir` holds RobustBench's files, `own_folders` own entrants beside the shipped ones; files of entrants whose
    name, spec or path is in `allow_pickle` may run code when they are loaded. Nothing is read but cards. Raises
    EntrantError, one line with the nearest known names.
    """
    prefix, colon, rest = spec.partition(":")
    if not colon:
        return _by_name(spec, domain, model_dir, own_folders, allow_pickle)
    if prefix == "robustbench":
        return _robustbench(rest, domain, model_dir, allow_pickle)
    if prefix == "checkpoint":
        return _checkpoint(rest, domain, allow_pickle)
    if prefix == "python":
        return _python(spec, rest, domain)
    raise EntrantError(
        f"expected an entrant, got {spec!r} with the unknown prefix {prefix!r};{did_you_mean(prefix, PREFIXES)}"
        f" write {FORMS}"
    )


def entrants(domain: Domain, *, model_dir: Path, own_folders: Sequence[Path] = ()) -> tuple[Entrant, ...]:
    """Every entrant of a suite: own ones, then those that RobustBench can load, in the order they are published in.

    Quick: reads cards and the published table; builds no network and does not import robustbench.
    """
    loadable = (row.name for row in published(domain.dataset, domain.norm) if row.in_zoo)
    return (
        *own_entrants(domain, own_folders, model_dir),
        *(RobustBenchEntrant(name, domain.dataset, domain.norm, model_dir) for name in loadable),
    )


def described(entrant: Entrant, said: Said = NOTHING, card: Path | None = None) -> Entrant:
    """An entrant given by its path or its code with what a user says of it, or with the card in a file.

    Raises EntrantError for any other entrant, which has a card, and for a card that the entrant cannot have.
    """
    if not said and card is None:
        return entrant
    if not isinstance(entrant, CheckpointEntrant | PythonEntrant) or entrant.card.source == "zoo":
        raise EntrantError(
            f"expected an entrant by its path or code (checkpoint:..., python:...) with --name, --title, --paper or --card, got"
            f" {entrant.card.name!r}, which has a card of its own; change that"
        )
    if card is not None:
        if entrant.has_card and entrant.card_path is not None and entrant.card_path.resolve() != card.resolve():
            raise EntrantError(
                f"expected one card, got {card} and {entrant.card_path}; change the one beside the entrant, or remove it"
            )
        entrant = replace(entrant, card_at=card)
    if isinstance(entrant, CheckpointEntrant) and card is not None:  # its spec then tells all without the card
        architecture = entrant.architecture or entrant.card.architecture
        entrant = replace(entrant, architecture=architecture, reading=entrant.how)
    entrant = replace(entrant, said=said)
    if card is not None and entrant.card.published:
        raise EntrantError(
            f"expected a card with 'published' beside the entrant, where harness verify finds it, got {card}; put it there"
        )
    return entrant


def called(entrant: Entrant, name: str) -> Entrant:
    """An entrant by the name that a record gives it, where it has no card: a user may call it as he likes."""
    if isinstance(entrant, CheckpointEntrant | PythonEntrant) and not entrant.has_card:
        return replace(entrant, said=Said(name=name))
    return entrant


def has_download(entrant: Entrant) -> bool:
    """Whether files of an entrant that are not here can be fetched."""
    if isinstance(entrant, CheckpointEntrant):
        return entrant.address is not None
    return isinstance(entrant, RobustBenchEntrant)


def _by_name(
    name: str, domain: Domain, model_dir: Path, own_folders: Sequence[Path], allow_pickle: Collection[str]
) -> Entrant:
    own = {entrant.card.name: entrant for entrant in own_entrants(domain, own_folders, model_dir, (name,))}
    if name in own:
        return replace(own[name], allow_pickle=name in allow_pickle)
    row = published_result(domain.dataset, domain.norm, name)
    if row is not None and row.in_zoo:
        return _robustbench(name, domain, model_dir, allow_pickle)
    if row is not None:
        raise _not_in_zoo(name)
    if Path(name).is_file():
        raise EntrantError(f"expected an entrant, got the file {name!r}; write checkpoint:{name}@<architecture>")
    known = [
        *own_names(domain, own_folders),
        *(row.name for row in published(domain.dataset, domain.norm) if row.in_zoo),
    ]
    raise EntrantError(
        f"expected an entrant of {domain.suite}, got {name!r};{did_you_mean(name, known)} write {FORMS};"
        " harness list entrants names them all"
    )


def _robustbench(name: str, domain: Domain, model_dir: Path, allow_pickle: Collection[str]) -> RobustBenchEntrant:
    rows = published(domain.dataset, domain.norm)
    row = next((row for row in rows if row.name == name), None)
    if row is not None and not row.in_zoo:
        raise _not_in_zoo(name)
    if row is None:
        known = [row.name for row in rows if row.in_zoo]
        raise EntrantError(
            f"expected an entry of RobustBench for {domain.dataset}, {domain.norm}, got {name!r};"
            + (f"{did_you_mean(name, known)} harness list entrants names them all" if known else " it has none")
        )
    entrant = RobustBenchEntrant(name, domain.dataset, domain.norm, model_dir)
    return replace(entrant, allow_pickle=bool({name, entrant.spec} & set(allow_pickle)))


def _checkpoint(rest: str, domain: Domain, allow_pickle: Collection[str]) -> CheckpointEntrant:
    if not rest:
        raise EntrantError(f"expected a path after checkpoint:, got nothing; write {FORMS}")
    spec = CheckpointSpec.parse(rest)
    path = spec.path
    if spec.architecture is not None:
        require_architecture(spec.architecture, "an architecture after @")
    entrant = CheckpointEntrant(path, domain, spec.architecture, reading=spec.reading)
    names = {entrant.spec, str(path), rest, path.stem}
    return replace(entrant, allow_pickle=bool(names & set(allow_pickle)))


def _python(spec: str, rest: str, domain: Domain) -> PythonEntrant:
    module, colon, attribute = rest.partition(":")
    if not (colon and attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise EntrantError(f"expected python:<module>:<callable>, got {spec!r}; write it as python:my_models:robust")
    return PythonEntrant(module, attribute, domain)


def _not_in_zoo(name: str) -> EntrantError:
    return EntrantError(
        f"expected an entrant with weights, got {name!r}, of which RobustBench publishes numbers only; choose another"
    )
