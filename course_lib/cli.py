"""The ``course`` command: a thin face on the library.

Commands import what they need when they run, so that ``course --help`` answers at once.
"""

import sys
from typing import Annotated

import typer
from rich.console import Console

from course_lib.errors import CourseError, UsageError

app = typer.Typer(
    name="course",
    help="Build, run and check the lessons of [bold]Uncropped[/bold], and measure pictures.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
measure_app = typer.Typer(help="Measure pictures and write the numbers down.", no_args_is_help=True)
app.add_typer(measure_app, name="measure")
errors = Console(stderr=True)


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the full traceback when something fails.")
    ] = False,
) -> None:
    """Options that every command has."""
    context.obj = {"debug": debug}


def main() -> None:
    """Run the command line: errors are one line, exit code 1 (failed) or 2 (wrong use)."""
    try:
        app()
    except CourseError as error:
        if "--debug" in sys.argv:
            raise
        errors.print(f"[red]Error:[/red] {error}", markup=True, highlight=False, soft_wrap=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    main()
