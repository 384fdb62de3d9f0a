"""The facade: every question the app asks is one method, plain values in, plain values out.

A picture is opened once; every later question starts from its trace and runs only the layers after L. Nothing
a visitor does is kept here: the only state is what depends on the setup alone, class vectors, families of components,
and how it reads the reference scenes. Long answers are generators: they tell how far they are, and whoever stops
asking stops them.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from threading import Lock

import numpy as np
from torch import Tensor

from .background import Job
from .concepts.component import (
    ActivatingExample,
    By,
    Concept,
    Histogram,
    Kind,
    Neighbour,
    activating_examples,
    concept,
    histogram,
    neighbours,
)
from .concepts.effects import SteeringEffects, crops_of, steering_effects, strength_of
from .concepts.families import Family, families
from .concepts.growth import Growth
from .concepts.index import ConceptIndex
from .concepts.reference_pictures import reference_pictures
from .concepts.search import WORDINGS, Match, matches_picture, matches_words, strongest
from .errors import UserError, echo
from .methods.attribution import Attribution, Method, ablation_effects, attribute
from .methods.conditions import CONFIDENCE, RATE, TERMS, Promise, promise_of
from .methods.controls import Controls, controls
from .methods.dose_response import Response, responses
from .methods.edit_search import Search, find_edit
from .methods.failures import Confusion, Findings, find_candidates
from .methods.generalization import Generalization, TrialSoFar, generalize, try_on
from .methods.picture_set import MOST_BYTES, PictureSet, Progress, ReadOnce, classified, read_traces, split
from .methods.question import Question
from .methods.reconstruction_error import ReconstructionError, reconstruction_error
from .methods.reference_scenes import read_references
from .methods.side_effects import (
    AttributionChanges,
    SideEffects,
    attribution_changes,
    probe_words,
    read_vocabulary,
    side_effects,
)
from .methods.steering import Edit, edited, steered
from .methods.targets import Target
from .model.class_lists import segments
from .model.class_vectors import ClassVectors
from .model.clip import check_text_work, indistinct_classes, text_work
from .model.prediction import Comparison, Prediction, compare, predict
from .model.prompts import MAX_LENGTH, TEMPLATES, unknown_words
from .model.sae_clip import BATCH
from .model.trace import Trace
from .pictures.batches import Batch
from .pictures.batches import batches as batches_of
from .pictures.collection import Collection
from .pictures.examples import example_pictures
from .pictures.read import Source, read_picture
from .scenes.sampling import SIDE
from .scenes.scene import CLASSES
from .setups.catalog import SetupSpec
from .setups.kept_classes import KeptClasses
from .setups.loading import Setup
from .setups.options import as_options

CHECKED_QUESTIONS = 64
"""Of which it is remembered that their classes are told apart."""
AT_ONCE = 2e11
"""Multiplications of the text tower that nobody is told the progress of: some seconds of a few cores."""
MOST_TEXT_WORK = 1e14
"""Of classes that are read step by step: 2,000 in 80 wordings for a ViT-B, which takes a few cores half an hour."""
PROBED_IN = 8
"""Wordings of the classes that probe words are put into; where there are more, these are in a single one."""
SUPPRESSED_ON = 8
"""Reference pictures on which a component is suppressed, to see what it pushes."""

INDEXED = 200
"""Reference pictures of the concept index that make a set."""
READING = "Reading the pictures (once)"
READING_CLASSES = "Reading the classes (once)"

_EVERYDAY = 100
"""Everyday words that stand for all words in a search."""
_FEW = 10
"""Fewer than these do not."""

Names = tuple[str, ...]
"""Class names, or templates."""

Step = tuple[str, int, int]
"""How far a long answer is: what is being done, how much of it is done, and how much there is."""


class Workbench:
    """All questions about one setup. Safe to share between visitors.

    Every method raises UserError when what it is given cannot be used; the message is for the visitor.
    """

    def __init__(self, setup: Setup) -> None:
        """Work with `setup`."""
        self.setup = setup
        self.making: Job[Growth, None] | None = None
        """What makes its concept index in the background (`core.serving.index_builder`); None where nothing does."""
        self._vocabulary = read_vocabulary()
        self._references = ReadOnce(lambda: read_references(setup.model))
        self._photographs = ReadOnce(lambda: self._read(example_pictures()))
        self._sorting = Lock()
        self._forget_index()
        self._common: np.ndarray | None = None

        self._vectors = ClassVectors(setup.clip, KeptClasses(setup.clip))

        @lru_cache(maxsize=CHECKED_QUESTIONS)
        def told_apart(classes: Names, templates: Names) -> None:
            known = [part for listed, part in segments(classes) if listed is not None]
            if pair := indistinct_classes(setup.clip, classes, templates, frozenset().union(*known)):
                first, second = (f"“{echo(name)}”" for name in pair)
                raise UserError(
                    f"This CLIP cannot tell {first} from {second}: it reads the same tokens of both, at "
                    f"most {setup.clip.context}. Write them so that they differ earlier, or keep one of them."
                )

        self._check_told_apart = told_apart

    @property
    def grown(self) -> int:
        """Bytes of a concept index that was made since the setup was loaded, and of what is held to go on with it."""
        if self.making is None:
            return 0
        held = 0 if self.making.over or self.making.step is None else self.making.step.n_bytes
        return held + (0 if self.setup.index is None else self.setup.index.n_bytes)

    def _forget_index(self) -> None:
        """Nothing is known of the index but the index itself."""
        self._indexed_pictures = ReadOnce(lambda: self._read(reference_pictures(self._indexed(), INDEXED)))
        self._families: tuple[Family, ...] | None = None
        self._family: dict[int, Family] = {}

    @property
    def card(self) -> SetupSpec:
        """What the setup is."""
        return self.setup.card

    def here(self) -> "Workbench":
        """The same, answered by this process alone; on ZeroGPU its answers would come from elsewhere."""
        return self

    def open(self, source: Source | None) -> Trace:
        """Read a picture: a path, bytes, a PIL picture or an array (see `core.pictures.read`)."""
        return self.trace(self.setup.clip.crop(read_picture(source)))

    def trace(self, crop: np.ndarray) -> Trace:
        """Read what the model sees of a picture, uint8 [S, S, 3]."""
        return self.setup.model.trace(crop)

    def traces(self, crops: np.ndarray) -> tuple[Trace, ...]:
        """Read what the model sees of several pictures, uint8 [B, S, S, 3], in one batch."""
        return self.setup.model.traces(crops)

    def unknown_words(self, classes: Names) -> dict[str, Names]:
        """Each class with words this setup has never seen, and these words."""
        known = self.card.vocabulary
        return {} if known is None else unknown_words(classes, known)

    # Classes. They are read once, for all who ask.

    def class_vectors(self, classes: Names, templates: Names) -> Tensor:
        """Unit vectors of the classes [C, p]. Raises UserError for more than is read without telling how far it is."""
        self._check_told_apart(classes, templates)
        if missing := self._vectors.missing(classes, templates):
            check_text_work(self.setup.clip, missing, templates)
        return self._vectors.read(classes, templates)

    def reads_at_once(self, classes: Names, templates: Names) -> bool:
        """Whether these classes are read already, or nobody has to be told how far their reading is."""
        missing = self._vectors.missing(classes, templates)
        return not missing or text_work(self.setup.clip, missing, templates) <= AT_ONCE

    def readable(self, classes: Names, templates: Names) -> Names:
        """These templates, or a single one where a CPU would read the classes in them for longer than half a minute."""
        try:
            check_text_work(self.setup.clip, self._vectors.missing(classes, templates), templates)
        except UserError:
            return TEMPLATES["single"]
        return templates

    def read_classes(self, classes: Names, templates: Names) -> Generator[Step]:
        """Read classes for whoever asks about them then, telling how far it is.

        Whoever asks meanwhile takes part, and who stops leaves it to the next one where it is.
        """
        self._check_told_apart(classes, templates)
        if missing := self._vectors.missing(classes, templates):
            check_text_work(self.setup.clip, missing, templates, MOST_TEXT_WORK)
        for step in self._vectors.steps(classes, templates):
            yield READING_CLASSES, *step

    def classify(self, trace: Trace, classes: Names, templates: Names) -> Prediction:
        """What the model says about the picture, among these classes."""
        classifier = self.class_vectors(classes, templates)
        return predict(trace.embedding, classifier, classes, self.setup.clip.scoring)

    def question(self, trace: Trace, classes: Names, templates: Names, target: Target) -> Question:
        """The picture, the classes and the target as the functions of `core.methods` take them."""
        return Question(self.setup.model, trace, self.class_vectors(classes, templates), target)

    def attribute(
        self, trace: Trace, classes: Names, templates: Names, target: Target, method: Method = "gradient"
    ) -> Attribution:
        """The contribution of every active component to the target, in logits."""
        return attribute(self.question(trace, classes, templates, target), method)

    def ablation_effects(
        self,
        trace: Trace,
        classes: Names,
        templates: Names,
        target: Target,
        components: Sequence[int] | np.ndarray,
    ) -> np.ndarray:
        """The measured effect of each component on the target, float32 [k], in logits, by ablating it."""
        return ablation_effects(self.question(trace, classes, templates, target), components)

    def steer(self, trace: Trace, edit: Edit) -> Trace:
        """The trace as the edit leaves it; its activations are those the edit sets, not encoded anew."""
        model, residual = self.setup.model, steered(self.setup.model, trace, [edit])
        return model.moved(trace, residual[0], edited(trace.activations, edit, model.dictionary))

    def compare(self, trace: Trace, edit: Edit, classes: Names, templates: Names) -> Comparison:
        """The prediction before and after an edit, for every class. One without levers is answered without a run."""
        if not edit.levers:
            return Comparison.unchanged(self.classify(trace, classes, templates))
        return self.compare_many(trace, [edit], classes, templates)[0]

    def compare_many(
        self, trace: Trace, edits: Sequence[Edit], classes: Names, templates: Names
    ) -> tuple[Comparison, ...]:
        """The same for several edits of one picture, in batches."""
        classifier, model = self.class_vectors(classes, templates), self.setup.model
        found = []
        for start in range(0, len(edits), BATCH):
            after = model.embeddings(trace, steered(model, trace, edits[start : start + BATCH]))
            found += [compare(trace.embedding, z, classifier, classes, model.clip.scoring) for z in after]
        return tuple(found)

    # Evidence

    def reconstruction_error(self, trace: Trace, classes: Names, templates: Names) -> ReconstructionError:
        """What the dictionary misses of the picture, and what that costs."""
        classifier = self.class_vectors(classes, templates)
        return reconstruction_error(self.setup.model, trace, classifier, classes)

    def controls(
        self, trace: Trace, classes: Names, templates: Names, target: Target, edit: Edit
    ) -> Iterator[Controls]:
        """The edit's effect among those of random edits of its size, after every batch of them."""
        return controls(self.question(trace, classes, templates, target), edit)

    def responses(
        self, trace: Trace, classes: Names, templates: Names, target: Target, edit: Edit
    ) -> Iterator[Response]:
        """The whole edit at every dose, then each of its levers alone."""
        return responses(self.question(trace, classes, templates, target), edit)

    def side_effects(self, trace: Trace, classes: Names, templates: Names, target: Target, edit: Edit) -> SideEffects:
        """What the edit changed besides the target, over the probe words this setup knows."""
        words, question = self._probes(classes), self.question(trace, classes, templates, target)
        return side_effects(question, [edit], words, self._probe_vectors(words, templates))[0]

    def attribution_changes(
        self, trace: Trace, classes: Names, templates: Names, before: Attribution, edit: Edit
    ) -> AttributionChanges:
        """The other components whose contribution to the target of `before` the edit changed most."""
        after = self.attribute(self.steer(trace, edit), classes, templates, before.target, before.method)
        return attribution_changes(before, after, edit)

    def find_edit(self, trace: Trace, classes: Names, templates: Names, truth: int) -> Iterator[Search]:
        """The smallest set of suppressions that makes the model say class `truth`, the answer last."""
        classifier = self.class_vectors(classes, templates)
        probes = self._probe_vectors(self._probes(classes), templates)
        return find_edit(self.setup.model, trace, classifier, truth, probes)

    def generalize(self, edit: Edit) -> Generator[Step | Generalization]:
        """What the edit does to the reference scenes: how far that is, and the answer last.

        The scenes are read once. Whoever asks meanwhile takes part in the same reading, and who stops asking leaves
        it to the next one where it is.
        """
        yield from self._read_references()
        references = self._references.found
        assert references is not None
        classifier = self.class_vectors(references.classes, TEMPLATES["single"])
        for found in generalize(self.setup.model, references, classifier, edit):
            yield found if isinstance(found, Generalization) else ("The same edit on the reference pictures", *found)

    # Many pictures. A set belongs to whoever read it: nothing of it is kept here but of what all visitors have.

    def references(self) -> Generator[Step | PictureSet]:
        """The reference scenes as a set, the answer last; read once, as for `generalize`."""
        yield from self._read_references()
        assert self._references.found is not None
        yield self._references.found

    def photographs(self) -> Generator[Step | PictureSet]:
        """The photographs of `core.pictures.examples`, with their cues and without; without classes yet, read once."""
        yield from self._read_once(self._photographs)

    def indexed_pictures(self) -> Generator[Step | PictureSet]:
        """Some reference pictures of the concept index, without labels, and without classes yet; read once.

        Raises UserError without an index.
        """
        yield from self._read_once(self._indexed_pictures)

    def _read_once(self, reading: ReadOnce) -> Generator[Step | PictureSet]:
        for step in reading.steps():
            yield READING, *step
        assert reading.found is not None
        yield reading.found

    def _read(self, collection: Collection) -> Iterator[Progress | PictureSet]:
        found = batches_of(collection, self.setup.clip.crop, BATCH, range(collection.n_parts))
        return read_traces(self, found, collection.size)

    def read_set(
        self,
        batches: Iterable[Batch],
        classes: Names,
        templates: Names,
        total: int | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> Generator[Step | PictureSet]:
        """Read pictures once, and what they show among the classes, or, without any, their labels: the answer last.

        The traces may take `most_bytes` (how much a picture takes: `PictureSet`). Batches come from
        `core.pictures.batches`, `total` is the collection's size.
        """
        if classes:
            self.class_vectors(classes, templates)  # what cannot be asked is refused before anything is read
        for step in read_traces(self, batches, total, most_bytes):
            if isinstance(step, PictureSet):
                yield self.classified(step, classes or step.label_names, templates)
            else:
                yield READING, *step

    def classified(self, pictures: PictureSet, classes: Names, templates: Names) -> PictureSet:
        """The same pictures among other classes, or in other templates, without reading them again."""
        return classified(self.setup.clip, pictures, classes, self.class_vectors(classes, templates))

    def try_edit(self, pictures: PictureSet, edit: Edit, templates: Names) -> Generator[Step | Generalization]:
        """What the edit does to a set of pictures: how far that is, and the answer last."""
        classifier = self.class_vectors(pictures.classes, templates)
        for found in generalize(self.setup.model, pictures, classifier, edit):
            yield found if isinstance(found, Generalization) else ("The same edit on these pictures", *found)

    def try_on(
        self, pictures: PictureSet, edit: Edit, templates: Names, begun: TrialSoFar | None = None
    ) -> Generator[TrialSoFar]:
        """The same for who may stop and go on: what it does to the pictures so far, and in the end to all of them.

        `begun` is what the same edit did to some of the same set.
        """
        yield from try_on(self.setup.model, pictures, self.class_vectors(pictures.classes, templates), edit, begun)

    def find_condition(
        self,
        pictures: PictureSet,
        edit: Edit,
        templates: Names,
        most_terms: int = TERMS,
        rate: float = RATE,
        confidence: float = CONFIDENCE,
    ) -> Generator[Step | Promise]:
        """Where the edit may act so that it breaks at most `rate` of right pictures: how far that is, the answer last.

        The set is dealt into three parts by the pictures' names: the condition is found on one, its threshold chosen on
        the second, and both are judged on the third. A condition that the edit has does not count.
        """
        for step in self.try_edit(pictures, replace(edit, condition=None), templates):
            if isinstance(step, Generalization):
                yield promise_of(pictures, step, self.setup.model.dictionary, most_terms, rate, confidence)
            else:
                yield step

    def find_candidates(
        self, pictures: PictureSet, confusion: Confusion, templates: Names
    ) -> Generator[Step | Findings]:
        """What may drive the failures of one kind: how far that is, and the answer last.

        Components and, with a concept index, families are proposed on one half of the pictures and judged on the other.
        Which half a picture is in depends on its name alone.
        """
        classifier = self.class_vectors(pictures.classes, templates)
        groups = [family.members for family in self.families] if self.setup.index is not None else []
        discovery, judging = split(pictures.names, (0.5, 0.5))
        yield from find_candidates(self.setup.model, pictures, classifier, confusion, (discovery, judging), groups)

    def read_ahead(self) -> Generator[Step]:
        """Read the reference scenes before anybody asks, where that takes little: a CLIP for which they are painted.

        A large one takes a minute for it, and 300 MB, and they may never be asked for.
        """
        import_module("scipy.stats")  # half a second, too
        if self.setup.clip.image_size == SIDE:
            yield from self._read_references()
            self.class_vectors(CLASSES, TEMPLATES["single"])

    def _read_references(self) -> Generator[Step]:
        for step in self._references.steps():
            yield "Reading the reference pictures (once)", *step

    # What components are about. All but `index` raise UserError without one, and for a component that there is not.

    @property
    def index(self) -> ConceptIndex | None:
        """What the setup's components fire for; None without a concept index."""
        return self.setup.index

    def take_index(self, index: ConceptIndex) -> None:
        """Answer from this index from now on. What takes long to find out of it is found out before."""
        setup = replace(self.setup, index=index, index_trouble="")
        assert setup.fingerprint == index.manifest.setup.fingerprint
        found = families(index)
        with self._sorting:
            self.setup = setup
            self._forget_index()
            self._families, self._family = found, _by_member(found)

    def word(self, component: int) -> str | None:
        """What a component stands for, where its dictionary is of words; else None."""
        words = self.setup.dictionary.words
        return words[component] if words else None

    @property
    def is_searchable(self) -> bool:
        """Whether components can be searched for, by words or by a picture."""
        return self.index is not None or bool(self.setup.dictionary.words)

    def concept(self, component: int) -> Concept:
        """What the index knows of a component."""
        return concept(self._indexed(), component)

    def activating_examples(self, component: int, kind: Kind = "top", most: int = 5) -> tuple[ActivatingExample, ...]:
        """At most that many of its reference pictures."""
        return activating_examples(self._indexed(), component, kind, most)

    def histogram(self, component: int) -> Histogram | None:
        """How strongly it fires; None for one that never does."""
        return histogram(self._indexed(), component)

    def neighbours(self, component: int, by: By, most: int = 8) -> tuple[Neighbour, ...]:
        """The components nearest to it, by direction or by firing."""
        return neighbours(self._indexed(), component, by, most)

    @property
    def families(self) -> tuple[Family, ...]:
        """Components that are alike. Found when first asked for, which takes seconds for a large dictionary."""
        with self._sorting:
            if self._families is None:
                self._families = families(self._indexed())
                self._family = _by_member(self._families)
            return self._families

    def family(self, component: int) -> Family | None:
        """The family of a component; None for one that stands alone."""
        return self._family.get(component) if self.families else None

    def matches_words(self, words: str, most: int) -> tuple[Match, ...]:
        """The components that fit words best. Raises UserError for no words, and for more than 200 characters."""
        dictionary, words = self.setup.dictionary, " ".join(words.split())
        index = None if dictionary.words else self._indexed()
        if not words:
            raise UserError("There is nothing to search for. Write a word or a few, such as: dog, written text.")
        if len(words) > MAX_LENGTH:
            raise UserError(f"The search has {len(words):,} characters. Shorten it to {MAX_LENGTH} or fewer.")
        if index is None:
            return strongest(dictionary.nearness(self.class_vectors((words,), ("{}",))[0]), most)
        with self._sorting:
            if self._common is None:
                self._common = self._everyday()
        return matches_words(index, self.class_vectors((words,), WORDINGS)[0].cpu().numpy(), self._common, most)

    def matches_picture(self, embedding: np.ndarray, most: int) -> tuple[Match, ...]:
        """The components that fit a picture best, by its embedding, [p] of any length, as in its trace.

        Of words, those that are active in it, and how strongly in an embedding of length 1.
        """
        if self.setup.dictionary.words:
            unit = embedding / max(float(np.linalg.norm(embedding)), 1e-12)
            found = self.setup.dictionary.encode_seen(self.setup.clip.tensor(unit[None]))[0].cpu().numpy()
            return strongest(found, min(most, int(np.count_nonzero(found))))
        return matches_picture(self._indexed(), embedding, most)

    def steering_effects(self, component: int, classes: Names, templates: Names) -> SteeringEffects:
        """What a component does to the classes, set on a blank picture and suppressed on its reference pictures."""
        index, clip = self._indexed(), self.setup.clip
        strength = strength_of(index, component)
        crops = crops_of(index, component, SUPPRESSED_ON, clip.image_size)
        return self.effects_on(crops, component, strength, classes, templates)

    def effects_on(
        self, crops: np.ndarray, component: int, strength: float, classes: Names, templates: Names
    ) -> SteeringEffects:
        """The same, set to that strength, and suppressed on crops, uint8 [n, S, S, 3]: without an index."""
        classifier = self.class_vectors(classes, templates)
        return steering_effects(self.setup.model, component, strength, crops, classifier, classes)

    def _indexed(self) -> ConceptIndex:
        if self.setup.index is None:
            why = self.setup.index_trouble or (
                f"Build one with: python -m core.indexing {as_options(self.card)} --pictures FOLDER --out INDEX"
            )
            if self.making is not None and not self.making.over:
                why = "One is being made. Ask again in a minute."
            raise UserError(
                f"The setup {self.card.name!r} has no concept index, so what its components fire for is not known. "
                f"{why}"
            )
        return self.setup.index

    def _everyday(self) -> np.ndarray:
        """What all words have in common: the mean vector of some everyday ones, or of none, float32 [p].

        Everyday words that this setup knows, and not those of its index: an index may have been given a few labels of
        one kind, whose mean is near to each of them. Where it knows few, the empty text stands for all words.
        """
        known = self._probes(())
        words = known[:: -(-len(known) // _EVERYDAY)] if len(known) >= _FEW else ("",)
        return self._vectors.read(words, WORDINGS).mean(0).cpu().numpy()

    def _probes(self, classes: Names) -> Names:
        return probe_words(self._vocabulary, self.card.vocabulary, classes)

    def _probe_vectors(self, words: Names, templates: Names) -> Tensor:
        """Unit vectors of probe words [V, p]: of all that the setup knows, which are read once in these templates."""
        used = templates if len(templates) <= PROBED_IN else TEMPLATES["single"]
        known = self._probes(())
        place = {word: k for k, word in enumerate(known)}
        return self._vectors.read(known, used)[[place[word] for word in words]]


def _by_member(found: Iterable[Family]) -> dict[int, Family]:
    """Each family by its members."""
    return {member: family for family in found for member in family.members}
