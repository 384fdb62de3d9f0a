"""Layout of the whole page, and what follows a change: measured effects, and the tabs that answer while in sight."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import gradio as gr
from gradio.events import Dependency

from ..model.prompts import TEMPLATES
from ..session import visit as session
from ..session.visit import Visit
from ..setups.pool import SetupPool
from ..views import frame, tour
from ..workbench import Workbench
from . import (
    attribution_tab,
    compare_tab,
    components_tab,
    condition_box,
    endpoints,
    evidence_tab,
    following,
    image_tab,
    index_growth,
    keeper,
    lanes,
    log_tab,
    many_tab,
    pair_box,
    press,
    recipe_box,
    second_picture,
    setup_bar,
    side_panel,
    steering_tab,
    take_along_tab,
    widgets,
)
from .context import Context
from .inputs import TypedBlocks
from .replies import Change, Changes, Redraw, Replies
from .visit_state import VisitState, keep


class Parts(NamedTuple):
    """Everything on the page, by what it belongs to."""

    bar: setup_bar.SetupBar
    growth: index_growth.IndexGrowth
    side: side_panel.SidePanel
    tabs: gr.Tabs
    image: image_tab.ImageTab
    attribution: attribution_tab.AttributionTab
    components: components_tab.ComponentsTab
    steering: steering_tab.SteeringTab
    compare: compare_tab.CompareTab
    many: many_tab.ManyTab
    evidence: evidence_tab.EvidenceTab
    take_along: take_along_tab.TakeAlongTab
    log: log_tab.LogTab
    keeper: keeper.Keeper
    following: gr.HTML
    """Asks the tabs whose answers take long."""

    def redraws(self) -> tuple[Redraw, ...]:
        """What is drawn anew, and since when."""
        return (
            *setup_bar.redraws(self.bar), *index_growth.redraws(self.growth),
            *side_panel.redraws(self.side), *image_tab.redraws(self.image),
            *attribution_tab.redraws(self.attribution), *components_tab.redraws(self.components),
            *steering_tab.redraws(self.steering), *compare_tab.redraws(self.compare),
            *many_tab.redraws(self.many), *condition_box.redraws(self.many.condition),
            *recipe_box.redraws(self.many.recipe), *evidence_tab.redraws(self.evidence), *keeper.redraws(self.keeper),
        )  # fmt: skip

    def notices(self) -> tuple[gr.HTML, ...]:
        """Where sentences appear that a change outdates."""
        places = self.image.said_picture, self.image.said_classes, self.attribution.said
        more = self.components.said, self.many.said, self.many.condition.said, self.many.recipe.said, self.keeper.said
        return (*places, self.steering.said, *more)


def build(pool: SetupPool[Workbench], opens_with: str, local: bool = False) -> TypedBlocks:
    """The whole page. The first example of its setup is worked out here, so that it arrives with the page.

    Every visitor chooses among the pool's setups. As long as the one that it is meant to open with is not there, it
    opens with the bundled one. `local`: whether this machine alone reaches it.
    """
    context = Context.of(pool, opens_with, local)
    first = first_visit(context, pool.get(context.opening.now))
    demo: TypedBlocks
    with TypedBlocks(title=frame.TITLE, fill_width=True, delete_cache=(900, 3600)) as demo:
        parts = _lay_out(context, first)
        state = VisitState(keep(first), parts.keeper.carried)
        replies = Replies(context, state, parts.redraws(), parts.notices())
        _follow_up(_listen(parts, replies), parts, replies)
        log_tab.listen(parts.log, replies)
        compare_tab.listen(parts.compare, replies)
        pair_box.listen(parts.compare.pair, replies)
        endpoints.build(context)
        demo.load(_reading_ahead(context), None, None, **lanes.LONG)
    if context.opening.job is not None:
        context.opening.then(partial(_open_with, demo, parts, replies, first))
        demo.jobs.append(context.opening.job)
    return demo


def _open_with(page: TypedBlocks, parts: Parts, replies: Replies, at_first: Visit, bench: Workbench | None) -> None:
    """Have all who come open with another setup, or read why that cannot be."""
    if bench is None:
        page.open_with({parts.bar.opening: setup_bar.show_opening(replies.context, at_first)})
    else:
        besides = [
            *setup_bar.asked_again(parts.bar), *image_tab.asked_again(parts.image),
            *components_tab.at_first(parts.components),
        ]  # fmt: skip
        page.open_with(replies.drawn(first_visit(replies.context, bench), besides))


def first_visit(context: Context, bench: Workbench) -> Visit:
    """What a page opens with: the first example of a setup, measured before anybody is here."""
    example, *_ = context.gallery(bench.card)
    here = bench.here()
    return session.measure(here, image_tab.start_with(here, example, TEMPLATES["single"]))


def _reading_ahead(context: Context) -> Callable[[], Iterator[None]]:
    """What the first evidence would wait for, worked out step by step while the first page is looked at."""

    def read() -> Iterator[None]:
        for _ in context.pool.get(context.opening.now).read_ahead():
            yield

    return read


def _lay_out(context: Context, first: Visit) -> Parts:
    bar = setup_bar.build(context, first)
    growth = index_growth.build(context, first)
    with gr.Row(elem_id="desk"):
        with gr.Column(scale=0, min_width=340, elem_id="side"):
            beside = side_panel.build(context, first)
        with gr.Column(scale=1, min_width=320, elem_id="main"):
            widgets.widget("tour", tour.tour())
            kept, followed = keeper.build(context, first), following.build()
            about = side_panel.build_about(context, first)
            with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
                parts = Parts(
                    bar,
                    growth,
                    side_panel.SidePanel(*beside, about),
                    tabs,
                    image_tab.build(context, first),
                    attribution_tab.build(context, first),
                    components_tab.build(context, first),
                    steering_tab.build(context, first),
                    compare_tab.build(context, first),
                    many_tab.build(context, first),
                    evidence_tab.build(first),
                    take_along_tab.build(),
                    log_tab.build(),
                    kept,
                    followed,
                )
            log_tab.build_asking()
            widgets.html(frame.foot(), elem_id="foot")  # beside the picture, which stays in sight down to the end
    return parts


def _listen(parts: Parts, replies: Replies) -> Changes:
    """All listeners but those that follow a change; returned are those that change the visit."""
    slow = lanes.slow(parts.side.prediction)
    another = lanes.another(parts.side.prediction, steering_tab.searching(parts.steering, replies))
    places = (
        parts.side.canvas, parts.side.prediction, parts.attribution.rows, parts.components.found, parts.components.page,
        parts.steering.levers, parts.steering.finder, parts.many.failures, parts.many.condition.promise,
        parts.evidence.side_effects,
    )  # fmt: skip
    said = parts.attribution.said, parts.components.said, parts.many.said
    of_picture = [*image_tab.asked_again(parts.image), *second_picture.asked_again(parts.image.second)]
    targets = attribution_tab.lists(parts.attribution)
    uploads = parts.image.upload, parts.image.second.upload
    asked_again = [*setup_bar.asked_again(parts.bar), *of_picture, *many_tab.asked_again(parts.many)]
    tabs = [str(tab.id) for tab in parts.tabs.children if isinstance(tab, gr.Tab)]
    return [
        *keeper.listen(parts.keeper, replies, asked_again, slow, tabs),
        *setup_bar.listen(parts.bar, replies, uploads, parts.keeper.said, another),
        *side_panel.listen(parts.side, replies, parts.keeper.said, another),
        *image_tab.listen(parts.image, replies, another),
        *second_picture.listen(parts.side.second, parts.image.second, replies, targets, slow),
        *attribution_tab.listen(parts.attribution, replies, slow),
        *press.listen(places, parts.components, parts.tabs, replies, said),
        *steering_tab.listen(parts.steering, replies),
        *many_tab.listen(parts.many, replies, of_picture, another),
        *condition_box.listen(parts.many.condition, replies, parts.many.own, parts.side.prediction),
        *recipe_box.listen(parts.many.recipe, replies, parts.many.own, of_picture[1:]),
        *evidence_tab.listen(parts.evidence, replies, parts.image.upload),
        *take_along_tab.listen(parts.take_along, replies, parts.many.own, parts.keeper.said, asked_again, another),
    ]


def _follow_up(changes: Changes, parts: Parts, replies: Replies) -> None:
    """What follows a change: measured effects, and the tabs whose answers take long, where one of them is in sight."""
    measuring = attribution_tab.measuring(parts.attribution, replies)
    for event in _since(Change.TARGET, changes):
        event.then(*measuring, **lanes.EVERY)
    other_pictures = many_tab.asking(parts.many, replies)
    grown = index_growth.listen(parts.growth, replies, parts.bar, parts.attribution, parts.components)
    searches = components_tab.listen(parts.components, replies, lanes.slow(parts.side.prediction))
    of_levers, of_presses = _since(Change.LEVER, changes), _since(Change.EDIT, changes)
    evidence, many, components = parts.evidence, parts.many, parts.components
    tabs = (
        (str(evidence.tab.id), evidence_tab.following(evidence, replies), evidence.summary, of_levers),
        (str(many.tab.id), many_tab.following(many, replies), many.tried, [*of_levers, *other_pictures]),
        # No lever changes what stands there, but a press may open a page.
        (
            str(components.tab.id), components_tab.following(components, replies), components.found,
            [*of_presses, *searches, grown],
        ),
    )  # fmt: skip
    following.listen(parts.following, [following.Followed(*tab) for tab in tabs])


def _since(change: Change, changes: Changes) -> list[Dependency]:
    return [event for how_much, event in changes if how_much >= change]
