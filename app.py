"""The app: `python app.py`, and what a Space runs. Settings and launch are in core/page/launch.py."""

from core.page.launch import launch_options, main, make_page

__all__ = ["launch_options", "main", "make_page"]

if __name__ == "__main__":
    main()
