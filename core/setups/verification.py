"""Verification of one setup: loaded from where it is published, and held against all that is known of it.

1. Both repositories are asked for their commit and their files. A copy in the cache is no proof where the Hub cannot be
   reached (`hub.NotHere`).
2. The setup is loaded at these commits. Every file is hashed and compared with what the Hub states for the commit, and
   with what the last good run found under the same description.
3. Golden values: its tokenizer has to give the published token ids (`published_tokens`), and its CLIP the logits of the
   last good run. OpenAI's own figures are of pictures that are not shipped: `pytest -m hub` compares those.
4. The health check is made anew. Doubts that speak against the release fail it: too little explained, far less or far
   more active than published, a CLIP that is wrong on most photographs.
5. Levers at work (`cue_trial`). What they do is recorded, whatever it is: it is a result and no condition.

Whatever does not hold ends it, with the reason in a sentence. What was found by then is kept.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from time import monotonic

from ..errors import UserError, first_line
from ..methods.question import Question
from ..methods.targets import ClassTarget
from ..model.clip import SplitClip, text_classifier
from ..model.devices import best_device
from ..model.prompts import TEMPLATES
from ..model.sae_clip import SaeClip
from .catalog import Location, SetupSpec
from .clips import layout_of
from .cue_trial import cue_pairs_for, levers_at_work
from .dictionaries import DICTIONARIES
from .foreign_errors import lacks_memory
from .health import About, Health, Weight
from .health_check import ProbeSet, check, probe_for
from .hub import Listing, NotHere, hashes, list_files
from .loading import Loading, Setup, Tell, load
from .published_tokens import END, PUBLISHED, START, VOCABULARY
from .verified import CheckedFigure, CheckedFiles, Expected, GoldenLogits, LeversAtWork, Verification

PACKAGES = ("clip-levers", "torch", "transformers", "tokenizers", "sae-lens", "huggingface_hub", "safetensors", "numpy",
            "pillow")  # fmt: skip
"""Whose versions are recorded."""
TOLERANCE = 0.05
"""Logits, of some 20 to 35: what other processors and versions of libraries add up to, and no change of the weights."""

_AGAINST_WEIGHT: frozenset[Weight] = frozenset({"meaningless", "unfit"})
_AGAINST_ABOUT: frozenset[About] = frozenset({"published variance", "published activity", "right answers"})
"""Doubts that fail a verification: by their weight, or by what they are about."""


class _Stop(UserError):
    """Something that was checked does not hold."""


def verify(card: SetupSpec, tell: Tell) -> Verification:
    """What verifying a setup comes to, failing or not; its last good run is that of `card.verification`.

    `tell` hears how far it is, and stops it by raising. Raises NotHere where the Hub cannot be asked or the disk is
    full, and UserError where the memory does not suffice: neither says anything of the setup.
    """
    begun, now = monotonic(), datetime.now(UTC).replace(microsecond=0)
    last = None if card.verification is None else card.verification.to_find_again
    found = Verification(card.stated, now, software(), expected=last)
    reason = ""
    try:
        for step in _steps(card, found, tell):
            found = step
    except NotHere:
        raise
    except UserError as trouble:
        if lacks_memory(trouble):
            raise
        reason = str(trouble)
    except Exception as error:
        if lacks_memory(error):
            raise UserError(
                f"There is not enough memory to verify {card.name!r}. End what else takes memory here."
            ) from error
        logging.getLogger(__name__).exception("verifying %r failed", card.name)
        reason = f"It could not be verified ({type(error).__name__}: {first_line(error)}). The log says where."
    seconds = round(monotonic() - begun)
    if reason:
        return replace(found, reason=reason, seconds=seconds)
    return replace(found, outcome="good", expected=None, seconds=seconds)


def software() -> dict[str, str]:
    """Versions of what computes and reads, by package."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # a checkout of this project
            versions[package] = "from a checkout"
    return versions


def _steps(card: SetupSpec, found: Verification, tell: Tell) -> Iterator[Verification]:
    """What was found, growing from step to step. Raises UserError at the first thing that does not hold."""
    tell(Loading("Asking where it is published"))
    clip_files, dictionary_files = list_files(card.clip), list_files(card.dictionary)
    for listing in (clip_files, dictionary_files):
        if listing.unreachable:
            raise NotHere(f"{listing.unreachable}: a copy in the cache is no proof.")
    found = replace(
        found,
        clip=CheckedFiles(_place(card.clip), clip_files.commit),
        dictionary=CheckedFiles(_place(card.dictionary), dictionary_files.commit),
    )
    yield found

    at_commits = replace(
        card, clip=_at(card.clip, clip_files.commit), dictionary=_at(card.dictionary, dictionary_files.commit)
    )
    setup = load(at_commits, best_device(), tell=tell, anyway=True)
    found = replace(
        found,
        device=setup.clip.device.type,
        formula=setup.formula,
        clip=_checked(card.clip, clip_files, layout_of(clip_files).patterns(), tell),
        dictionary=_checked(card.dictionary, dictionary_files, DICTIONARIES[card.kind].files_of(card), tell),
    )
    yield found
    if found.expected is not None:
        _same_files(found, found.expected)

    probe = probe_for(card)
    found = replace(found, published_tokens=_published_tokens(setup.clip))
    found = replace(found, golden=_golden(setup.model, probe, tell))
    yield found
    if found.expected is not None and found.golden is not None:
        _same_logits(found.golden, found.expected)

    health = check(setup.clip, setup.dictionary, card, probe, _hear(tell, "Checking its health"), setup.standardisation)
    said = tuple(doubt.sentence for doubt in health.doubts)
    found = replace(found, figures=tuple(_figures(health, card)), doubts=said)
    yield found
    for doubt in health.doubts:
        if doubt.weight in _AGAINST_WEIGHT or doubt.about in _AGAINST_ABOUT:
            raise _Stop(doubt.sentence)

    yield replace(found, levers=_levers(setup, card, tell))


def _place(location: Location) -> str:
    """Where files are, the same on every machine."""
    return str(location) if location.folder is None else location.stated


def _at(location: Location, commit: str | None) -> Location:
    return location if commit is None else replace(location, revision=commit)


def _checked(location: Location, listing: Listing, patterns: Sequence[str], tell: Tell) -> CheckedFiles:
    """The files that were loaded, every byte of them read again. Raises UserError for one that is not as stated."""
    tell(Loading(f"Hashing the files of {location}"))
    found = hashes(listing, patterns)
    n_bytes = sum((listing.folder / name).stat().st_size for name in found)
    return CheckedFiles(_place(location), listing.commit, n_bytes, found)


def _same_files(found: Verification, expected: Expected) -> None:
    """Raise UserError where a file is another than that of the last good run."""
    for path, digest in found.hashes.items():
        if expected.hashes.get(path, digest) != digest:
            raise _Stop(
                f"{path} has changed since it was verified on {_day(expected)}: its hash was "
                f"{expected.hashes[path][:16]}… and is {digest[:16]}…. If that is meant, pin its commit in the catalog."
            )


def _published_tokens(clip: SplitClip) -> int:
    """How many texts have the published token ids; 0 for another vocabulary. Raises UserError for one that has not."""
    if clip.model.config.text_config.vocab_size != VOCABULARY:
        return 0
    for text, ids in PUBLISHED.items():
        if clip.token_ids([text]) != [(START, *ids, END)]:
            raise _Stop(f"Its tokenizer gives “{text}” other token ids than are published: it is of another model.")
    return len(PUBLISHED)


def _golden(model: SaeClip, probe: ProbeSet, tell: Tell) -> GoldenLogits:
    """The logit of what each picture of the health check shows, asked as there."""
    digest, logits = hashlib.sha256(), []
    hear = _hear(tell, "Asking its CLIP")
    for done, sample in enumerate(probe.samples):
        hear(done, len(probe.samples))
        digest.update(f"{sample.picture.size} {sample.classes} {sample.truth}".encode() + sample.picture.tobytes())
        classifier = text_classifier(model.clip, sample.classes, TEMPLATES["single"])
        trace = model.trace(model.clip.crop(sample.picture))
        target = ClassTarget(sample.classes.index(sample.truth))
        logits.append(round(Question(model, trace, classifier, target).value, 3))
    return GoldenLogits(digest.hexdigest(), tuple(logits))


def _same_logits(golden: GoldenLogits, expected: Expected) -> None:
    """Raise UserError where the CLIP answers otherwise than in the last good run."""
    if golden.pictures != expected.golden.pictures:
        return
    apart = max(abs(now - then) for now, then in zip(golden.truth, expected.golden.truth, strict=True))
    if not apart <= TOLERANCE:
        raise _Stop(
            f"Its CLIP gives logits up to {apart:.2f} away from those of {_day(expected)}, with the same files: a "
            "library reads or computes them otherwise now. Compare the versions of both runs."
        )


def _figures(health: Health, card: SetupSpec) -> Iterator[CheckedFigure]:
    """The health check's figures that are numbers, to four places."""
    for row in health.rows(card.published):
        if isfinite(row.ours):
            yield CheckedFigure(row.label, round(row.ours, 4), row.published, row.unit)


def _levers(setup: Setup, card: SetupSpec, tell: Tell) -> LeversAtWork:
    pairs = cue_pairs_for(card, setup.clip.image_size)
    return levers_at_work(setup.model, pairs, _hear(tell, "Trying levers on pictures with a known cue"))


def _hear(tell: Tell, what: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(Loading(what, done, total))


def _day(expected: Expected) -> str:
    return f"{expected.date:%Y-%m-%d}"
