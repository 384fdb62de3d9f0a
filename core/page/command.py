"""The app's command: faults of the house are told before the libraries are imported, which takes seconds."""

import os
import sys

from ..errors import UserError
from ..serving.command_line import app_arguments
from ..serving.house import chosen_port, uploads_folder


def main() -> None:
    """Run the app with what was typed behind its name."""
    words = sys.argv[1:]
    app_arguments(words)
    try:
        port = chosen_port()
        with uploads_folder() as folder:
            os.environ["GRADIO_TEMP_DIR"] = str(folder)
            from .launch import open_app

            open_app(words, port)
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
