"""The app: `python app.py`, and what a Space runs. Its command is in core/page/command.py, its start in launch.py."""

from core.page.command import main

if __name__ == "__main__":
    main()
