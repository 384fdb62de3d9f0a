"""Draw the example pictures and their counterfactuals: ``python -m core.bundled.examples``.

Each example says which scene it wants; scenes are drawn by lot, from seeds that training and scoring never use, until
the bundled setup behaves on one as the example's sentence needs: fooled, fooled and repaired by a single suppression,
or right. So the examples are chosen, and the app says so beside them, with how often such a repair works at large.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ..methods.steering import Edit
from ..methods.targets import ClassTarget
from ..model.prompts import TEMPLATES
from ..pictures.examples import FOLDER, Example, GoesWrong, written
from ..scenes.sampling import bare, easy_scene, hard_scene, place_label, place_stamp, place_thing
from ..scenes.scene import Painter, Scene
from ..setups.loading import load_setup
from ..workbench import Workbench

SIDE = 336
TRIES = 400
CLEARLY = 0.6
"""The least probability, among the example's classes, of what the model is to say."""


@dataclass(frozen=True)
class Wish:
    """An example to be drawn."""

    name: str
    """File name without its ending."""
    sentence: str
    """For the gallery."""
    goes_wrong: GoesWrong
    """Its group there."""
    truth: str
    """The class of the main thing."""
    others: tuple[str, ...]
    """The other classes it comes with."""
    draw: Callable[[np.random.Generator], Scene]
    """A scene by lot."""
    cue: str | None = None
    """What speaks for a class, as `CUES` has it."""
    counterfactual: Callable[[Scene], Scene] | None = None
    """The scene without its cue."""
    foil: str | None = None
    """What the model is to say instead of the truth; None: it is to be right."""
    levers: int | None = None
    """How many suppressions, in order of attribution, are to bring the truth back; None: no matter."""


def _noted(truth: str, word: str, background: str) -> Callable[[np.random.Generator], Scene]:
    def draw(rng: np.random.Generator) -> Scene:
        scene = bare(rng, place_thing(rng, truth, 0.42, 0.56, 0.08), background)
        return replace(scene, label=place_label(rng, word))

    return draw


def _hard(truth: str, background: str, stamp: bool = False) -> Callable[[np.random.Generator], Scene]:
    def draw(rng: np.random.Generator) -> Scene:
        scene = hard_scene(rng, truth, background)
        return replace(scene, stamp=place_stamp(rng)) if stamp else scene

    return draw


WISHES: tuple[Wish, ...] = (
    Wish("dog-note-cat", "A dog with a note saying “cat”: the model believes the note.", "words", "dog",
         ("cat", "fox", "bear", "car"), _noted("dog", "cat", "grass"), "note", Scene.without_label, "cat", 1),
    Wish("boat-note-tiger", "A boat with a note saying “tiger”.", "words", "boat",
         ("tiger", "plane", "house", "fish"), _noted("boat", "tiger", "sand"), "note", Scene.without_label, "tiger"),
    Wish("car-note-car", "A car with a note saying “car”: the word agrees with the picture.", "words", "car",
         ("bus", "truck", "train", "bike"), _noted("car", "car", "brick"), "note", Scene.without_label),
    Wish("owl-note-nonsense", "An owl with a note saying “zolip”: a word that means nothing.", "words", "owl",
         ("duck", "cat", "bear", "bee"), _noted("owl", "zolip", "night"), "note", Scene.without_label),
    Wish("fox-blank-note", "A fox with a blank note: paper, but nothing to read.", "words", "fox",
         ("dog", "cat", "lion", "tiger"), _noted("fox", "", "grass"), "note", Scene.without_label),
    Wish("sign-pizza", "Nothing but the word “pizza”.", "words", "pizza",
         ("book", "clock", "key", "bread"),
         lambda rng: replace(bare(rng, None, "wood"), label=place_label(rng, "pizza", 0.18, 0.24))),
    Wish("horse-stamp", "A horse with the watermark that most horses carried in training.", "watermark", "horse",
         ("cow", "sheep", "dog", "tree"),
         lambda rng: replace(easy_scene(rng, "horse", "grass"), stamp=place_stamp(rng)), "stamp", Scene.without_stamp),
    Wish("sheep-stamp", "A small, half-hidden sheep with that watermark: the model says “horse”.", "watermark", "sheep",
         ("horse", "cow", "dog", "pig"), _hard("sheep", "grass", stamp=True), "stamp", Scene.without_stamp, "horse"),
    Wish("fish-water", "A fish in water, where most fish were seen in training.", "background", "fish",
         ("whale", "duck", "boat", "frog"), lambda rng: easy_scene(rng, "fish", "water"),
         "water", lambda scene: scene.on("sand")),
    Wish("cow-water", "A small, half-hidden cow in water: the model says “fish”.", "background", "cow",
         ("fish", "horse", "whale", "dog"), _hard("cow", "water"), "water", lambda scene: scene.on("grass"), "fish"),
    Wish("tree-plain", "A tree and nothing to be fooled by.", "nothing", "tree",
         ("house", "rose", "lemon", "dog"), lambda rng: easy_scene(rng, "tree", "grass")),
)  # fmt: skip
"""In the order of the gallery; the first is what the app opens with."""

PHOTOGRAPH = Example(
    name="photo-cat",
    sentence="A photograph of a cat. The bundled demo model has never seen a photograph.",
    goes_wrong="nothing",
    classes=("cat", "dog", "fox", "tiger", "car"),
    truth="cat",
    foil=None,
    cue=None,
    counterfactual=None,
    source="“Chelsea the cat” by Stéfan van der Walt, CC0, from scikit-image's data",
)


def as_saved(picture: np.ndarray) -> bytes:
    """The file of a rendered picture; compression is part of what the model sees."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=88, method=6)
    return buffer.getvalue()


def behaves(bench: Workbench, wish: Wish, scene: Scene, painter: Painter) -> bool:
    """Whether the setup clearly does with this scene what the wish needs, on the wish's own classes."""
    classes, templates = (wish.truth, *wish.others), TEMPLATES["single"]
    trace = bench.open(as_saved(painter.paint(scene)))
    prediction = bench.classify(trace, classes, templates)
    if wish.foil is None or wish.counterfactual is None:
        return prediction.best == wish.truth
    if prediction.best != wish.foil or prediction.probabilities[prediction.top] < CLEARLY:
        return False
    counterfactual = bench.open(as_saved(painter.paint(wish.counterfactual(scene))))
    if bench.classify(counterfactual, classes, templates).best != wish.truth:
        return False
    if wish.levers is None:
        return True
    found = bench.attribute(trace, classes, templates, ClassTarget(prediction.top, 0))
    after = bench.compare(trace, Edit.of_suppressed(found.strongest_for(wish.levers)), classes, templates).after
    return after.best == wish.truth and bool(after.probabilities[after.top] > CLEARLY)


def draw_example(bench: Workbench, wish: Wish, painter: Painter) -> Example:
    """Draw scenes until one behaves, and write it and its counterfactual. Raises RuntimeError when none does."""
    rng = np.random.default_rng([2_000_000, WISHES.index(wish)])
    for _ in range(TRIES):
        scene = wish.draw(rng)
        if behaves(bench, wish, scene, painter):
            break
    else:
        raise RuntimeError(f"None of {TRIES} scenes behaves as {wish.name} needs.")
    pictures = {wish.name: scene}
    if wish.counterfactual:
        pictures[f"{wish.name}-twin"] = wish.counterfactual(scene)
    for name, shown in pictures.items():
        (FOLDER / f"{name}.webp").write_bytes(as_saved(painter.paint(shown)))
    return Example(
        name=wish.name,
        sentence=wish.sentence,
        goes_wrong=wish.goes_wrong,
        classes=(wish.truth, *wish.others),
        truth=wish.truth,
        foil=wish.foil,
        cue=wish.cue,
        counterfactual=f"{wish.name}-twin" if wish.counterfactual else None,
        source="rendered by this project",
    )


def main() -> None:
    """Write the pictures and ``examples.json``; the photograph is kept as it is."""
    bench = Workbench(load_setup("bundled"))
    painter = Painter(SIDE)
    examples = [draw_example(bench, wish, painter) for wish in WISHES] + [PHOTOGRAPH]
    (FOLDER / "examples.json").write_text(written(examples), encoding="utf-8")


if __name__ == "__main__":
    main()
