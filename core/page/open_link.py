"""Opening of a link: the view that it says, as far as this server can show it, and sentences about what it cannot.

The same opens what the page was about before, when a visitor goes back: an entry of the browser's history is a link,
and of a picture of one's own the page itself still has the crop.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from ..errors import UserError, echo
from ..methods.steering import Edit
from ..methods.targets import ClassTarget, Target
from ..pictures.read import Source, read_picture
from ..session import visit as session
from ..session.component_search import ComponentSearch
from ..session.links import Link
from ..session.many_pictures import OWN, ManyPictures
from ..session.view_state import ViewState, commits_of, content_hash
from ..session.visit import SecondPicture, Subject, Visit, class_index, subject_of
from ..workbench import Workbench
from .context import Context
from .picture_sets import choices
from .replies import Change, Outcome
from .second_picture import OWN as OWN_SECOND
from .setup_bar import LEFT_BEHIND, ONE_WORDING
from .wire import BringBack

NO_PICTURE_IN_A_LINK = (
    "This link is about somebody’s own picture, which no link can carry: bring it. Until then, the rest is applied to "
    "this example."
)
NO_SECOND_IN_A_LINK = (
    "This link compares with somebody’s own picture, which no link can carry: bring it under “Compare with another "
    "picture”. Until then classes are asked about."
)
OTHER_COMMITS = "The files of this setup are others than those of the link: so may be their components."


class Looked(NamedTuple):
    """What is looked at, and what comes with it where a link does not say it."""

    source: Source
    subject: Subject
    classes: tuple[str, ...]
    truth: str | None
    foil: str | None = None
    awaited: str = ""
    """How the content hash of the picture begins that is to be brought."""


def open_link(context: Context, held: Visit, asked: BringBack, link: Link, said: Iterable[str] = ()) -> Outcome:
    """What a link says, in place of the visit that the server holds; `said` of it already: what could not be read."""
    notes, state = list(said), ViewState.parsed(asked.state)
    bench = _setup(context, held, link, notes)
    theirs = link.setup in (None, bench.card.name)
    if theirs and not _same_commits(bench, link):
        theirs = False
        notes.append(OTHER_COMMITS)
    looked = _looked(context, held, bench, link, state, asked.picture(), notes)
    classes = link.classes or looked.classes
    trace = bench.open(looked.source)
    truth = _truth(link, looked, classes, notes)
    edit = _possible(bench, link.edit, trace.activations.n_tokens, notes) if theirs else Edit()
    if link.edit.levers and not theirs:
        notes.append(LEFT_BEHIND)
    second = _second(context, bench, link, state, asked.second_picture(), notes)
    target: Target | None = _target(link, classes, notes)
    if link.target is None and second is not None:
        target = second.target
    foil = class_index(classes, looked.foil)
    foil = None if foil == truth else foil
    templates = bench.readable(classes, link.templates)
    if templates != link.templates:
        notes.append(ONE_WORDING)
    visit = session.begin(bench, trace, looked.subject, classes, templates, truth, target, edit, foil)
    visit = session.after(held, session.measure(bench, visit))
    if held.key and (held.key, held.setup) == (state.key, visit.setup):
        visit = replace(visit, history=held.history.then(edit))
    visit = replace(
        visit,
        key=state.key or held.key,
        step=max(state.step, held.step) + 1,
        revision=max(state.revision, held.revision) + 1,
        awaited=looked.awaited,
        second=second,
        search=_search(bench, held, link.component if theirs else None, notes),
        many=_many(bench, held, link, notes),
    )
    return Outcome(visit, Change.SETUP, tuple(notes), tone="warn")


def _setup(context: Context, held: Visit, link: Link, notes: list[str]) -> Workbench:
    """The setup that answers. It was loaded before, where it can be."""
    name = context.opening.meant if link.setup is None else link.setup
    if name in context.pool.loaded():
        return context.pool.get(name)
    card = context.pool.cards.get(name)
    named = (
        f"“{echo(name)}”, which is not among the setups here"
        if card is None
        else f"{card.title}, which cannot be had now"
    )
    notes.append(f"This link is about {named}: {context.card(held).title} answers instead.")
    return context.bench(held)


def _same_commits(bench: Workbench, link: Link) -> bool:
    commits = {str(name): commit for name, commit in commits_of(bench).items()}
    return all(commits.get(name, "").startswith(begins) for name, begins in link.commits.items())


def _looked(
    context: Context, held: Visit, bench: Workbench, link: Link, state: ViewState, crop: bytes | None, notes: list[str]
) -> Looked:
    """The example of a link, or its picture, where the page still holds that; else what is looked at already."""
    example = context.example_named(link.example)
    if example is None and link.picture is not None:
        if crop is not None and _content(bench, crop).startswith(link.picture):
            picture = state.picture
            known = picture.example is None and picture.content.startswith(link.picture)
            subject = (
                Subject(picture.caption, photograph=picture.photograph)
                if known
                else Subject("Your picture", photograph=True)
            )
            return Looked(crop, subject, held.classes, None)
        notes.append(NO_PICTURE_IN_A_LINK)
        example, *_ = context.gallery(bench.card)
        return Looked(example.file(), subject_of(example), held.classes, None, awaited=link.picture)
    if example is not None:
        without = link.counterfactual and example.counterfactual is not None
        return Looked(example.file(without), subject_of(example, without), example.classes, example.truth, example.foil)
    if link.example is not None:
        notes.append(f"This link is about an example “{echo(link.example)}”, which is not here.")
    truth = None if held.truth is None else held.classes[held.truth]
    return Looked(context.picture(held, None), held.subject, held.classes, truth)


def _second(
    context: Context, bench: Workbench, link: Link, state: ViewState, crop: bytes | None, notes: list[str]
) -> SecondPicture | None:
    """The picture to compare with: the example of a link, or one's own, where the page still holds that."""
    example = context.example_named(link.like)
    if example is not None:
        return session.second_picture(bench, example.file(), subject_of(example))
    if link.like is not None:
        notes.append(f"This link compares with an example “{echo(link.like)}”, which is not here.")
    if link.like_picture is not None:
        if crop is not None and _content(bench, crop).startswith(link.like_picture):
            caption = OWN_SECOND if state.second is None else state.second.caption
            return session.second_picture(bench, crop, Subject(caption, photograph=True))
        notes.append(NO_SECOND_IN_A_LINK)
    return None


def _content(bench: Workbench, crop: bytes) -> str:
    try:
        return content_hash(bench.setup.clip.crop(read_picture(crop)))
    except UserError:
        return ""


def _truth(link: Link, looked: Looked, classes: tuple[str, ...], notes: list[str]) -> int | None:
    """The class that it should be: of the link, or as the picture comes."""
    if link.truth is None:
        return class_index(classes, looked.truth)
    truth = class_index(classes, link.truth)
    if truth is None and link.truth:
        notes.append(f"“{echo(link.truth)}”, which this link says it should be, is not among the classes.")
    return truth


def _target(link: Link, classes: tuple[str, ...], notes: list[str]) -> ClassTarget | None:
    """The target of a link; None where one is chosen."""
    if link.target is None:
        return None
    wanted, against = (class_index(classes, name) for name in link.target)
    if wanted is None or wanted == against or (against is None and link.target.against is not None):
        notes.append("The target of this link is not among the classes: another one is explained.")
        return None
    return ClassTarget(wanted, against)


def _possible(bench: Workbench, edit: Edit, n_tokens: int, notes: list[str]) -> Edit:
    """What of an edit can be done with this dictionary, and in a picture of so many tokens."""
    n = bench.setup.dictionary.n_components
    missing = [lever.component for lever in edit.levers if lever.component >= n]
    if missing:
        listed = ", ".join(f"#{component}" for component in missing[:5])
        notes.append(
            f"This setup has {n:,} components, and so no lever is pulled on {listed}{' …' * (len(missing) > 5)}"
        )
    tokens, condition = edit.tokens, edit.condition
    if tokens and tokens[-1] >= n_tokens:
        notes.append(f"This picture has {n_tokens} tokens, and the edit of this link acts on others: it acts on all.")
        tokens = None
    if condition is not None and condition.components.max() >= n:
        notes.append(f"This setup has {n:,} components, and the condition of this link names others: it is left out.")
        condition = None
    return Edit(tuple(lever for lever in edit.levers if lever.component < n), tokens, condition)


def _search(bench: Workbench, held: Visit, component: int | None, notes: list[str]) -> ComponentSearch:
    """What was searched for stays, where the setup does; the component of the link is open."""
    search = held.search if held.setup == bench.card.name else ComponentSearch(openings=held.search.openings)
    if component is not None and bench.index is not None:
        try:
            bench.concept(component)
            return search if search.opened == component else search.open_page(component)
        except UserError as trouble:
            notes.append(str(trouble))
    return replace(search, opened=None)


def _many(bench: Workbench, held: Visit, link: Link, notes: list[str]) -> ManyPictures:
    """Which set is asked. One's own is in no link: it stays, and so does what was said of an edit."""
    if link.pictures == "" and held.many.which == OWN:
        return held.many
    if link.pictures == OWN or link.pictures not in (name for _, name in choices(bench)):
        notes.append(f"There are no pictures called “{echo(link.pictures)}” here.")
        return held.many
    return replace(held.many, which=link.pictures, by_labels=link.by_labels, confusion=link.confusion)
