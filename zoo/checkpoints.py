"""Own entrants: an architecture and a file of tensors, with or without a card.

With a card (see zoo/cards.py) a checkpoint is an entrant by its name; by its path any file of tensors is one whose architecture
is named. The tensors are found in the file by what fits the network (zoo/matching.py) and loaded strictly: a checkpoint of
another network is refused, never half loaded.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from zoo.architectures import FORMS
from zoo.cards import Address, CardFile, is_card, read_card
from zoo.checkpoint_spec import PLAIN, Reading
from zoo.choosing import Choice, Chosen, NoFit
from zoo.closest import hint, no_fit
from zoo.described import NOTHING, Said
from zoo.downloads import Downloads
from zoo.entrant import Card, Domain, EntrantError, Weights, WeightsFile, freeze, sha256_of_file
from zoo.formats import flaw
from zoo.hugging_face import HuggingFaceFolder
from zoo.networks import Network
from zoo.normalisation import Normalisation, Normalised, stated
from zoo.own_code import raised, require_logits
from zoo.state_dicts import mappings
from zoo.torchscript import ARCHITECTURE as TORCHSCRIPT
from zoo.torchscript import is_torchscript, load_program
from zoo.unpickling import read

SHIPPED = Path(__file__).parent
"""The folder of the entrants that come with this project: <suite>/<name>.safetensors (or .pt) and .json."""


@dataclass(frozen=True)
class CheckpointEntrant:
    """A file of tensors for a network of `domain`. `architecture` None: as its card says, or as a Hugging Face folder does.

    `source` is "zoo" for one that is found by its name and "checkpoint" for one that is given by its path. `reading` is what
    its spec says of the file; a card says the rest. `card_at` is its card where that does not lie beside the file; `said` is
    what a user says of one without a card.
    """

    path: Path
    domain: Domain
    architecture: str | None = None
    allow_pickle: bool = False
    source: str = "checkpoint"
    reading: Reading = PLAIN
    card_at: Path | None = None
    said: Said = NOTHING
    downloads: Downloads = field(default_factory=Downloads, compare=False)

    @property
    def card_path(self) -> Path:
        return self.card_at or self.path.with_name(f"{self._stem}.json")

    @property
    def has_card(self) -> bool:
        """Whether a file says who it is. A .json beside a file that is given by its path may be anything, too."""
        if self.card_at is not None:
            return True
        strict = self.source == "zoo" or self.path.suffix == ".safetensors"
        return self.card_path.is_file() and (strict or is_card(self.card_path))

    @property
    def card(self) -> Card:
        """As its file says where there is one; else the file's stem and the architecture. Raises EntrantError."""
        if self.has_card:
            return self.said.beside(self._card_file().card, self.card_path)
        architecture = self.architecture or self._by_itself
        return self.said.of(Card(name=self._stem, source=self.source, architecture=architecture))

    @property
    def address(self) -> Address | None:
        """Where its weights can be fetched; None where no card says so."""
        return self._card_file().weights if self.has_card else None

    @property
    def spec(self) -> str:
        if self.source == "zoo":
            return self.card_path.stem
        return f"checkpoint:{self.path}" + (f"@{self.architecture}" if self.architecture else "") + self.reading.spec

    @property
    def file(self) -> Path:
        """The file of tensors: the path, or what lies in a Hugging Face folder."""
        return HuggingFaceFolder(self.path).weights if self.path.is_dir() else self.path

    def transform(self) -> None:
        """The suite's images as they are."""
        return

    def missing(self) -> tuple[Path, ...]:
        return () if self.file.is_file() else (self.file,)

    def fetch(self) -> None:
        """Fetch the file from where its card says. Raises EntrantError when it is not here and no card says where it is."""
        if not self.missing():
            return
        if self.address is None:
            raise EntrantError(f"expected a checkpoint in {self.path}, got no file; check the path, it has no download")
        self.downloads.from_hub(self.address.url, self.path, self.address.sha256)

    def weights(self) -> Weights:
        """The sha256 covers the file's bytes, the architecture's name, the classes and the image shape.

        It covers what the spec or the card says of normalisation, too; of the user's own code its source files and what else of
        the network no state dict holds; of a library's network its version; and the place of the tensors, where several fit and
        not the customary ones are taken. The note tells what was found in the file and what was done with it.
        """
        network = self.network()
        more: tuple[WeightsFile, ...]
        file = WeightsFile(self.file.name, sha256_of_file(self.file))
        if self.address is not None and file.sha256 != self.address.sha256:
            raise EntrantError(
                f"expected the weights that {self.card_path.name} names (sha256 {self.address.sha256[:16]}), got others in"
                f" {self.file} ({file.sha256[:16]}); remove that file and fetch it with --download, or correct the card"
            )
        text = f"{network.architecture}\n{self.domain.classes}\n{self.domain.shape}\n{file.sha256}"
        said, more, note, place = "", (), "", ""
        if network.architecture != TORCHSCRIPT:
            (said, more), status = network.identity(), self.file.stat()
            note, place = _told(self, status.st_mtime_ns, status.st_size)
        reading = self.how
        read = [f"take={place}"] if place else []
        if normalisation := stated(reading.mean, reading.std):
            read.append(str(normalisation.require(self.domain.shape[0], self.path)))
        text = "\n".join([text, *([said] if said else []), *read])
        return Weights(hashlib.sha256(text.encode()).hexdigest(), (file, *more), note)

    def load(self) -> nn.Module:
        """Build the network and load the tensors strictly; leaves torch's random state alone."""
        network = self.network()
        if network.architecture == TORCHSCRIPT:
            return self._program()
        chosen = self._chosen(network)
        model, wanted = network.build(), network.wanted
        held = {name: tensor for name, tensor in model.state_dict().items() if name in wanted.constants}
        state = wanted.state(chosen.found)
        for name in held.keys() & state.keys():
            if state[name].numel() != held[name].numel():
                raise EntrantError(
                    f"expected {held[name].numel()} numbers for {name} of {network.architecture}, got {state[name].numel()} in"
                    f" {self.file}; name the architecture that it was saved from"
                )
            state[name] = state[name].reshape(held[name].shape)
        model.load_state_dict({**held, **state}, strict=True)
        network.require_logits(model.float().eval(), self.spec)
        return freeze(_normalised(model, chosen.normalisation))

    def network(self) -> Network:
        """What the tensors are for. Raises EntrantError where there is no file, and where nothing says the architecture."""
        if self.missing():
            raise EntrantError(f"expected a checkpoint in {self.file}, got no file; {self._remedy}")
        folder = HuggingFaceFolder(self.path) if self.path.is_dir() and self.architecture is None else None
        network = Network(self._architecture(), self.domain, folder)
        if problem := flaw(self.file, network.most_bytes):
            raise EntrantError(f"expected a checkpoint in {self.file}, got {problem}; put the right file there")
        return network

    def choice(self, network: Network) -> Choice:
        """What chooses the network's tensors in what the file holds."""
        spec = f"checkpoint:{self.path}" + (f"@{self.architecture}" if self.architecture else "")
        channels, said = self.domain.shape[0], network.normalisation
        return Choice(network.wanted, self.how, channels, spec, str(self.file), network.architecture, said)

    def read(self) -> Any:
        """What the file holds. Raises EntrantError for a damaged file and for a pickle that holds code."""
        return read(self.file, self.allow_pickle, self.card.name)

    def _chosen(self, network: Network) -> Chosen:
        """Raises EntrantError, with what would fit, where the network's tensors are not in the file."""
        held = self.read()
        try:
            return self.choice(network)(held)
        except NoFit as error:
            raise EntrantError(no_fit(held, network, self.path, self.file, self.reading.spec)) from error

    def _program(self) -> nn.Module:
        if not self.allow_pickle:
            raise EntrantError(
                f"expected plain tensors in {self.path}, got a TorchScript archive, which is a program;"
                f" pass --allow-pickle {self.card.name} only if you trust its author"
            )
        try:
            model = load_program(self.path).float().eval()
        except Exception as error:  # the archive's own program
            raise EntrantError(f"expected a TorchScript archive in {self.path}, got {raised(error)}") from error
        reading = self.how
        normalisation = stated(reading.mean, reading.std)
        require_logits(model, self.spec, self.domain.classes, self.domain.shape, f"choose one for {self.domain.suite}")
        return freeze(_normalised(model, normalisation and normalisation.require(self.domain.shape[0], self.path)))

    @property
    def _stem(self) -> str:
        return self.path.name if self.path.is_dir() else self.path.stem

    @property
    def _remedy(self) -> str:
        fetched = f"download with harness run ... --entrants {self.spec} --download"
        return "check the path" if self.address is None else fetched

    def _card_file(self) -> CardFile:
        beside = self.source == "zoo" or self.card_at is None
        return read_card(self.card_path, self.source, named_by_file=beside)

    @property
    def how(self) -> Reading:
        """How the file is read, as the spec says, and the card where the spec says nothing."""
        return self.reading.over(self._card_file().reading) if self.has_card else self.reading

    @property
    def _by_itself(self) -> str:
        """The architecture of a file or folder that says it itself; empty for the others."""
        if self.path.is_dir():
            return HuggingFaceFolder(self.path).architecture
        return TORCHSCRIPT if self.path.is_file() and is_torchscript(self.path) else ""

    def _architecture(self) -> str:
        if self.has_card:
            card = self._card_file()
            card.require(self.domain, self.card_path)
            return self.architecture or card.card.architecture
        if self.architecture is None and not (found := self._by_itself):
            fits = ""
            with contextlib.suppress(EntrantError, OSError):  # what else is wrong shows when it has an architecture
                fits = hint(list(mappings(self.read())), self.domain, str(self.path), said=self.reading.spec)
            raise EntrantError(
                f"expected an architecture for {self.path}, got none; add @ and {FORMS}, or put a card beside it"
                + (f"; {fits}" if fits else "")
            )
        return self.architecture or found


def _normalised(model: nn.Module, normalisation: Normalisation | None) -> nn.Module:
    return Normalised(model, normalisation) if normalisation else model


@functools.lru_cache(maxsize=64)
def _told(entrant: CheckpointEntrant, *_: int) -> tuple[str, str]:
    """The note and the unusual place of what is read; of one file as it is, once a process. Empty for what cannot be loaded."""
    try:
        chosen = entrant.choice(entrant.network())(entrant.read())
    except EntrantError:  # loading says why
        return "", ""
    return chosen.note, chosen.unusual
