"""A report of a validation in which every name is anybody's."""

from base64 import b64encode

import numpy as np
from conftest import EVIL

from core.concepts.index import Identity
from core.methods.steering import Condition, Edit, Lever, Term
from core.pictures.intake import Intake
from core.pictures.thumbnail import thumbnail
from core.validation.counts import KeptPicture, PictureCounts, TrialCounts, Trouble
from core.validation.report import ValidationReport
from core.validation.verdict import StatedBounds, Verdict, judge, outcome_of

SETUP = Identity("clip", None, "sae", None, 1, "all", 48, 32, "0" * 64)
EDIT = Edit((Lever(3), Lever(5, "set", 2.0, at_least=0.5)), condition=Condition((Term(7, -2.0), Term(9)), 0.25))
PICTURE = b64encode(thumbnail(np.full((8, 8, 3), 99, np.uint8), 8)).decode()
TALLY = PictureCounts(
    wrong=50, right=400, fixed=41, broken=3, unlabelled=9, changed=2, acts=77, answers=60, lead=123_456_789
)


def report_of(
    total: PictureCounts,
    names: tuple[str, ...] = EVIL,
    bounds: StatedBounds | None = None,
    classes: dict[str, PictureCounts] | None = None,
) -> ValidationReport:
    """A report in which every name is one of these."""
    verdicts: tuple[Verdict, ...] = judge(total, bounds or StatedBounds(0.05, 0.3))
    kept = [
        KeptPicture(id=i, name=name, label=name, group=name, before=name, after=name, webp=PICTURE)
        for i, name in enumerate(names)
    ]
    return ValidationReport(
        outcome=outcome_of(verdicts),
        bounds=verdicts,
        recipe=names[0],
        edit=EDIT,
        classes=names,
        templates=names,
        setup=SETUP,
        pictures={"kind": "folder", "name": names[1]},
        intake=Intake((names[0],), tuple((name, name) for name in names), len(names) + 3),
        counts=TrialCounts(
            total=total,
            classes=dict.fromkeys(names, total) if classes is None else classes,
            groups=dict.fromkeys(names, total),
            others=dict.fromkeys(names, 1),
            of_others=len(names),
            kept={"fixed": kept, "broken": kept, "changed": kept},
            unread=len(names) + 7,
            troubles=[Trouble(place=(0, 0, i), name=name, reason=name) for i, name in enumerate(names)],
        ),
    )
