"""Recipe box, in the Many pictures tab: the edit leaves as a recipe, with what is claimed of it, and one comes back."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from ..errors import UserError
from ..methods.generalization import Generalization
from ..pictures.archives import Archive, is_archive
from ..pictures.intake import MEGABYTE, Bounds
from ..recipes import Claim, Recipe, check_setup, claim_of, load_recipe, make_recipe, save_recipe
from ..recipes.files import ARRAYS, FACTS
from ..session import visit as session
from ..session.cancellation import LatestOnly
from ..session.many_pictures import OwnPictures
from ..session.typed import Text
from ..session.visit import Visit
from ..views import frame
from ..views import many as many_view
from ..workbench import Workbench
from . import widgets
from .context import Context
from .lanes import EVERY, LONG
from .picture_sets import ChosenSet, chosen, halt
from .replies import Besides, Change, Changes, Outcome, Redraw, Replies, Shown, Shows

FOLDER = "recipe"
"""Of the two files, in the zip."""
BOUNDS = Bounds(files=20, each=40 * MEGABYTE)
"""Of what is brought as a recipe."""


class SavingParts(TypedDict):
    """How far a recipe is."""

    said: str
    """HTML: how far, or what it says."""
    file: bytes | None
    """The zip, once it is there."""


@dataclass(frozen=True)
class RecipeBox:
    """Its parts."""

    title: gr.Textbox
    save: gr.Button
    file: gr.File
    load: gr.File
    said: gr.HTML
    stops: gr.State
    """LatestOnly: what begins it stops the saving."""


def build() -> RecipeBox:
    """Its layout."""
    with gr.Accordion("Recipe: take this edit with you, or bring one", open=False, elem_id="recipe-box"):
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=260):
                title = gr.Textbox(
                    label="What is the edit for?", max_lines=1, elem_id="recipe-title",
                    info="Saved with what it does to the pictures above, and what you say of them.",
                )  # fmt: skip
                save = gr.Button("Save recipe", variant="primary", elem_id="save-recipe")
            with gr.Column(scale=2, min_width=220):
                load = gr.File(
                    label="Load a recipe: its zip, or its two files", file_count="multiple", height=120,
                    elem_id="load-recipe",
                )  # fmt: skip
        said = widgets.widget("said-recipe", frame.notice(), "many", elem_classes="said")
        file = gr.File(label="Your recipe", interactive=False, height=70, elem_id="recipe-file")
    return RecipeBox(title, save, file, load, said, gr.State(LatestOnly()))


def redraws(box: RecipeBox) -> list[Redraw]:
    """A recipe that was saved is about the edit before; without one, styles hide its place."""
    return [Redraw(box.file, Change.LEVER, lambda *_: None)]


def listen(box: RecipeBox, replies: Replies, own: gr.State, asked_again: Sequence[Besides]) -> Changes:
    """Its listeners. `asked_again`: what is typed and chosen, as it follows from a recipe that was loaded."""

    def offered(data: bytes | None) -> str | None:
        return None if data is None else save_bytes_to_cache(data, f"{FOLDER}.zip", box.file.GRADIO_CACHE)

    shows: Shows = {"said": box.said, "file": Shown(box.file, offered)}
    saved = replies.stream(save, shows, box.title, own, box.stops)
    for again in (box.save.click, box.said.resume):
        again(*saved, **LONG)
    box.said.halt(*replies.step(halt, None, box.stops), **EVERY)
    loaded = replies.step(load, Change.CLASSES, box.load, notices=[box.said], besides=asked_again)
    return [(Change.CLASSES, box.load.upload(*loaded, **EVERY))]


def save(context: Context, v: Visit, title: Text, own: OwnPictures, stops: LatestOnly[None]) -> Iterator[SavingParts]:
    """The edit as a recipe, with what it does to the set in sight."""
    bench, go_on = context.bench(v), stops.begin()
    yield {"said": frame.waiting("Trying the edit on these pictures"), "file": None}
    try:
        claims: list[Claim] = []
        for step in _claims(bench, v, own):
            if not go_on():
                yield {"said": frame.stopped(), "file": None}
                return
            if isinstance(step, Claim):
                claims.append(step)
            else:
                yield {"said": step, "file": None}
        name = title.strip()[:200] or many_view.edit_words(v)[:200]
        asked = v.edit, v.classes, v.templates, v.class_target
        vectors = bench.class_vectors(v.classes, v.templates)
        recipe = make_recipe(bench.setup, *asked, title=name, claims=claims, vectors=vectors)
        yield {"said": many_view.saved(v, recipe, FOLDER), "file": zipped(recipe)}
    except UserError as trouble:
        yield {"said": frame.notice(str(trouble), tone="bad"), "file": None}


def _claims(bench: Workbench, v: Visit, own: OwnPictures) -> Iterator[str | Claim]:
    """What the edit does to the set, last, where there is one; before, how far that is: HTML."""
    if not v.edit.levers:
        return
    for found in chosen(bench, v, own, stops=True):
        if isinstance(found, ChosenSet):
            for step in bench.try_edit(found.pictures, v.edit, found.templates):
                if isinstance(step, Generalization):
                    unseen = v.many.is_unseen(v.setup, v.edit)
                    yield claim_of(step, many_view.set_words(found.pictures, found.called), unseen=unseen)
                else:
                    yield frame.waiting(*step, stops=True)
        elif found is not None:
            yield found


def zipped(recipe: Recipe) -> bytes:
    """The recipe's two files in a folder, as a zip."""
    data = io.BytesIO()
    with TemporaryDirectory() as place, zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(save_recipe(recipe, place).iterdir()):
            archive.write(path, f"{FOLDER}/{path.name}")
    return data.getvalue()


def load(context: Context, v: Visit, files: list[str] | None) -> Outcome:
    """The edit of a recipe, with its classes, their wording and the target, on the picture that is looked at.

    Raises UserError for what is no recipe, and for one of another setup.
    """
    bench = context.bench(v)
    with TemporaryDirectory() as place:
        _take([Path(file) for file in files or ()], Path(place))
        recipe = load_recipe(Path(place))
    check_setup(recipe, bench.setup)
    facts = recipe.facts
    loaded = session.restart(bench, v, facts.classes, facts.templates, facts.target, facts.edit)
    return Outcome(loaded, Change.CLASSES, many_view.loaded(recipe))


def _take(files: Sequence[Path], place: Path) -> None:
    """Put a recipe's two files into a folder, out of a zip where they are in one."""
    for path in files:
        if is_archive(path):
            archive = Archive(path, frozenset({Path(FACTS).suffix, Path(ARRAYS).suffix}), BOUNDS)
            for name, info in archive.pictures.items():
                if name in (FACTS, ARRAYS):
                    (place / name).write_bytes(archive.read(info))
        elif path.name in (FACTS, ARRAYS):
            (place / path.name).write_bytes(path.read_bytes())
    missing = [name for name in (FACTS, ARRAYS) if not (place / name).is_file()]
    if missing:
        raise UserError(f"There is no {missing[0]} in what was brought. Bring a recipe's zip, or its two files.")
