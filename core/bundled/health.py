"""Health of the bundled setup, measured and written to assets/bundled/health.json: ``python -m core.bundled.health``.

A start then need not measure it (`core.setups.kept_health`). To be run after every change of the bundled weights, the
example pictures, or what `core.setups.health_check` measures.
"""

from ..setups.health_check import check, probe_for
from ..setups.identity import identity
from ..setups.kept_health import BUNDLED_HEALTH, about_check, write_health
from ..setups.loading import load_setup


def main() -> None:
    """The command."""
    setup = load_setup("bundled")
    spec, clip, dictionary = setup.card, setup.clip, setup.dictionary
    about = about_check(spec, clip, identity(spec, setup.commits, clip, dictionary))
    assert about is not None  # of the bundled setup there always is
    health = check(clip, dictionary, spec, probe_for(spec))
    write_health(health, about, BUNDLED_HEALTH)
    print(health.summary, *(doubt.sentence for doubt in health.doubts), sep="\n")


if __name__ == "__main__":
    main()
