"""The ``course`` command: a thin face on the library.

Commands import what they need when they run, so that ``course --help`` answers at once.
"""

import importlib.metadata
import sys
from collections.abc import Sequence
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from course_lib.errors import CourseError, UsageError

LESSONS, SYSTEMS, PICTURES = "Lessons", "Systems", "Pictures"
WHAT, WHERE = "What to run", "Where results go"
TIME_IS_UP = 3  # exit code of a training that stopped at its limit
SystemName = Annotated[
    str, typer.Argument(metavar="SYSTEM", help="One of the course's systems, such as traces.")
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="DIR",
        help="Folder with weights that **course train** wrote; those that come with the course "
        "if not given.",
    ),
]

Watermark = Annotated[
    Path | None,
    typer.Option(
        "--watermark",
        metavar="FILE",
        help="A picture that serves as the watermark, the same to protect and to locate; one that "
        "the course draws if not given.",
    ),
]


Variant = Annotated[
    str | None,
    typer.Option(
        "--variant",
        metavar="NAME",
        help="Which of a system's designs, the same to protect and to locate; its best one if not "
        "given.",
    ),
]


def _options(system: str, **given: Any) -> dict[str, Any]:
    """Return the options that were given, if the system's witness takes them."""
    from course_lib.systems import find_system, takes

    lacks = {"watermark": "hides no watermark", "variant": "has one design only"}
    chosen = {name: value for name, value in given.items() if value is not None}
    opening = find_system(system).function("witness")
    for name in chosen:
        if not takes(opening, name):
            raise UsageError(f"--{name}: {system} {lacks[name]}; leave the option out.")
    return chosen


def _examples(*lines: tuple[str, str]) -> str:
    """Return examples as the end of a command's help (Markdown), a line each."""
    width = max(len(command) for command, _ in lines)
    rows = "\n".join(f"{command:<{width}}  # {what}" for command, what in lines)
    return f"**Examples**\n\n```bash\n{rows}\n```"


app = typer.Typer(
    name="course",
    help="Build, run and check the lessons of **Uncropped**, and measure pictures.",
    epilog=_examples(
        ("course run --only 01", "execute one lesson and write its page"),
        ("course run --profile smoke", "try all lessons at their smallest sizes"),
        ("course build --check", "see whether notebooks match their sources"),
        ("course locate traces seen.jpg", "was this picture cropped?"),
    ),
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
measure_app = typer.Typer(help="Measure pictures and write the numbers down.", no_args_is_help=True)
app.add_typer(measure_app, name="measure", rich_help_panel=PICTURES)
errors = Console(stderr=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"course {importlib.metadata.version('uncropped')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            help="Show the version and end.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            metavar="",
            help="Show the traceback of an error; may also stand after the command.",
        ),
    ] = False,
) -> None:
    """Options that every command has."""


@app.command(
    rich_help_panel=LESSONS,
    epilog=_examples(
        ("course build", "write what is out of date"),
        ("course build --check", "in a pull request: fail if anything is"),
    ),
)
def build(
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            metavar="",
            help="Write nothing; list what is out of date or wrong, and exit with 1.",
        ),
    ] = False,
) -> None:
    """Build the notebooks from their sources.

    `notebooks/source/NN_name.py` becomes `notebooks/NN_name.ipynb`, the
    worked lesson, and `exercises/NN_name.ipynb`, the student's copy. A worked lesson
    keeps its outputs as long as its code is unchanged. The table of lessons in the README is
    brought up to date as well. Building twice changes nothing.

    `--check` also reports outputs that come from other code than the source's, quoted
    names that do not exist or are too long, pictures without alternative text, and notebooks of
    more than 1.5 MB, each with its file and cell.
    """
    from course_lib.paths import COURSE
    from course_lib.teach.audit import find_problems
    from course_lib.teach.build import build as build_course
    from course_lib.teach.problems import Problem, ProblemsError

    problems: Sequence[Problem] = ()
    written: Sequence[Path] = ()
    if check:
        problems = find_problems()
    else:
        try:
            written = build_course()
        except ProblemsError as error:
            problems = error.problems
    for path in written:
        print(f"wrote {path.relative_to(COURSE.root)}")
    for problem in problems:
        print(problem)
    if problems:
        raise CourseError(f"The course has {len(problems)} problem(s), listed above.")
    if not written:
        print("Everything is up to date and sound." if check else "Everything is up to date.")


@app.command(
    rich_help_panel=LESSONS,
    epilog=_examples(
        ("course run", "all lessons, with the profile that suits this machine"),
        ("course run --only 01,03-05 --jobs 2", "four lessons, two at a time"),
        ("course run --profile smoke", "all lessons at their smallest sizes"),
        ("course run --photos ~/Pictures", "with photographs of your own"),
        ("course run --only 01 -p seed=7", "with a parameter changed"),
        ("course run --resume", "go on where a run was stopped"),
        ("course run --profile cpu --update", "refresh the committed notebooks"),
    ),
)
def run(
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="smoke|cpu|gpu|auto",
            help="The budget of each lesson. **auto** takes $COURSE_PROFILE, else gpu if "
            "there is one, else cpu.",
            rich_help_panel=WHAT,
        ),
    ] = "auto",
    only: Annotated[
        str,
        typer.Option(
            "--only",
            metavar="NUMBERS",
            help="Lessons to run, such as 01 or 01,03-05; all if not given.",
            rich_help_panel=WHAT,
        ),
    ] = "",
    photos: Annotated[
        str,
        typer.Option(
            "--photos",
            metavar="DIR",
            help="A folder of photographs to use instead of the embedded ones; the same as "
            "-p photos=DIR.",
            rich_help_panel=WHAT,
        ),
    ] = "",
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--parameter",
            metavar="NAME=VALUE",
            help="Set a parameter of the lessons' parameters cell; may be given several times. "
            "A name that a lesson does not know, or a value of another type, is refused before "
            "anything starts.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            metavar="N",
            help="Lessons to run at the same time. They share cores, memory and GPU.",
            rich_help_panel=WHAT,
        ),
    ] = 1,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            metavar="",
            help="Run only lessons that are missing, that failed, or whose code, parameters, "
            "profile or library changed since.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for executed notebooks, pages, index.html and run.json; executed in the "
            "course if not given.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            metavar="",
            help="Then copy lessons that passed to notebooks/, write what they took to "
            "assets/run_cards.json, and build. With profile smoke, only the run cards.",
            rich_help_panel=WHERE,
        ),
    ] = False,
) -> None:
    """Execute lessons and write a page for each.

    Every lesson runs in a process of its own. One that fails does not stop the others: its notebook
    is kept up to the error, and the command ends with exit code 1. An exception inside a widget
    counts as a failure too, although Jupyter goes on after it.

    Results: the executed notebooks, a page for each that needs no network, `index.html`,
    and `run.json` with time, memory and errors. Ctrl-C stops the kernels and keeps what
    is finished; `--resume` goes on from there.

    Exit codes: 0 all passed, 1 a lesson failed, 2 wrong use, 130 stopped by Ctrl-C.
    """
    from course_lib.paths import COURSE
    from course_lib.teach.run import RunOptions, run_course

    pairs = [*(parameters or []), *([f"photos={photos}"] if photos else [])]
    wanted = RunOptions(profile, only, jobs, out, resume, update, pairs)
    raise typer.Exit(run_course(COURSE, wanted, Console()).exit_code)


@app.command(
    rich_help_panel=SYSTEMS,
    epilog=_examples(
        ("course train traces --profile gpu", "full strength, on a GPU if there is one"),
        ("course train traces --photos ~/Pictures", "with photographs of your own"),
        ("course train traces --limit-minutes 9", "a slice of it"),
        ("course train traces --limit-minutes 9 --resume", "the next slice"),
        ("course train traces --devices 4", "on four GPUs of this machine"),
    ),
)
def train(
    system: SystemName,
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="smoke|cpu|gpu|auto",
            help="The sizes. **auto** takes $COURSE_PROFILE, else gpu if there is one, else cpu.",
            rich_help_panel=WHAT,
        ),
    ] = "auto",
    photos: Annotated[
        str,
        typer.Option(
            "--photos",
            metavar="DIR",
            help="A folder of photographs to learn from; $COURSE_PHOTOS, else the embedded ones, "
            "if not given.",
            rich_help_panel=WHAT,
        ),
    ] = "",
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, help="Start of all randomness.", rich_help_panel=WHAT
        ),
    ] = 0,
    devices: Annotated[
        int,
        typer.Option(
            "--devices",
            metavar="N",
            min=1,
            help="GPUs of this machine, or processes where there is no GPU.",
            rich_help_panel=WHAT,
        ),
    ] = 1,
    nodes: Annotated[
        int,
        typer.Option(
            "--nodes",
            metavar="M",
            min=1,
            help="Machines. Start it on each with **torchrun ... -m course_lib.cli train ...**, "
            "which also sets both numbers.",
            rich_help_panel=WHAT,
        ),
    ] = 1,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            metavar="",
            help="Go on from the last checkpoint in the folder, or begin if there is none.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    limit_minutes: Annotated[
        float | None,
        typer.Option(
            "--limit-minutes",
            metavar="M",
            min=0,
            help="Save and stop after this time.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="auto|32|bf16",
            help="**auto**: bf16 on a GPU that computes in it. Processors with instructions for "
            "bf16 train up to twice as fast with it.",
        ),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for checkpoints, weights and their cards; trained/SYSTEM-PROFILE in the "
            "course if not given.",
            rich_help_panel=WHERE,
        ),
    ] = None,
) -> None:
    """Train a system.

    Runs on a GPU where there is one, in bf16 where that is safe, and on the processor otherwise. A
    line of progress says the loss, the speed, the time left, and which losses still stand where
    they stand when nothing has been learned.

    A checkpoint is written every minute and when it is stopped by Ctrl-C, SIGTERM or its limit;
    `--resume` goes on with the same losses as if it had not been stopped. A loss that is
    not a finite number stops the run, and the last good checkpoint is kept.

    Exit codes: 0 finished, 1 failed, 2 wrong use, 3 the time is up, 130 stopped by Ctrl-C.
    """
    from course_lib import profiles
    from course_lib.paths import COURSE
    from course_lib.photos import source
    from course_lib.systems import find_system

    stages_of = find_system(system).function("train")
    chosen = profiles.resolve(profile)
    pictures = source(photos or None)
    place = out or COURSE.root / "trained" / f"{system}-{chosen.name}"

    from course_lib.training import run_stages  # torch, which takes seconds to import

    words = [f"course train {system} --profile {chosen.name}"]
    words += [f"--photos {Path(photos).name}"] * bool(photos) + [f"--seed {seed}"] * (seed != 0)
    words += [f"--devices {devices}"] * (devices > 1) + [f"--nodes {nodes}"] * (nodes > 1)
    words += [f"--precision {precision}"] * (precision != "auto")
    reports = run_stages(
        stages_of(chosen, pictures, seed, place),
        place,
        resume=resume,
        limit_s=None if limit_minutes is None else 60 * limit_minutes,
        devices=devices,
        nodes=nodes,
        precision=precision,
        command=" ".join(words),
    )
    for path in [report.weights for report in reports if report.weights]:
        print(f"wrote {path}")
    if not reports:
        print(f"Everything is trained already: {place}")
    if any(not report.finished for report in reports):
        raise typer.Exit(TIME_IS_UP)


@app.command(
    rich_help_panel=SYSTEMS,
    epilog=_examples(
        ("course evaluate traces --photos DIR --json traces.json", "as it was found"),
        ("course evaluate traces --photos DIR --json t.json --lens simulated", "with a lens"),
        ("course evaluate traces --photos DIR --json t.json --sets", "by what is in them"),
        ("course evaluate traces --photos DIR --json t.json --limit 20", "a quick look"),
    ),
)
def evaluate(
    system: SystemName,
    photos: Annotated[
        Path,
        typer.Option(
            "--photos", metavar="DIR", help="Folder of photographs that it was not trained on."
        ),
    ],
    json: Annotated[Path, typer.Option("--json", metavar="FILE", help="Where the numbers go.")],
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Use only the first N photographs."),
    ] = None,
    lens: Annotated[
        str | None,
        typer.Option(
            "--lens",
            metavar="simulated|none",
            help="**none**: photographs as they are. **simulated**: with traces of a lens of usual "
            "strength added.",
        ),
    ] = None,
    sets: Annotated[
        bool,
        typer.Option(
            "--sets",
            metavar="",
            help="Sort photographs by what is in them (upright, tilted, smooth ...), measure each "
            "set, and nothing else.",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Start of all randomness.")
    ] = 0,
    weights: Weights = None,
) -> None:
    """Measure a system on a folder of photographs.

    Prints a table, with 95 % intervals and the paper's numbers where there are any, and writes the
    same as JSON: a row for each metric and condition.
    """
    from course_lib import results
    from course_lib.photos import folder
    from course_lib.systems import find_system, takes

    measure = find_system(system).function("evaluate")
    if lens not in (None, "simulated", "none"):
        raise UsageError(f"--lens {lens} is unknown: choose simulated or none.")
    if lens and not takes(measure, "lens"):
        raise UsageError(f"--lens: {system} simulates no lens; leave the option out.")
    if sets and not takes(measure, "sets"):
        raise UsageError(f"--sets: {system} is not measured by sets; leave the option out.")
    if not json.name.endswith(".json"):
        raise UsageError(f"--json {json}: give a file name that ends in .json.")
    options = ({"lens": lens} if lens else {}) | ({"sets": True} if sets else {})
    console = Console()
    with console.status(f"Evaluating {system}") as status:
        measured = measure(
            folder(photos), weights=weights, limit=limit, seed=seed, say=status.update, **options
        )
    results.write(measured, json)
    console.print(results.table(measured), markup=False)
    console.print(f"wrote {json}", markup=False, highlight=False, soft_wrap=True)


@app.command(
    rich_help_panel=SYSTEMS,
    epilog=_examples(
        ("course locate traces seen.jpg", "was it cropped, and from where?"),
        ("course locate traces seen.jpg --json v.json --figure v.png", "and keep the answer"),
    ),
)
def locate(
    system: SystemName,
    picture: Annotated[
        Path, typer.Argument(metavar="PICTURE", help="The picture as it was found.")
    ],
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the verdict as JSON.")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure",
            metavar="FILE",
            help="Draw the picture in its place within the original frame (.png, .jpg, .svg or "
            ".pdf).",
        ),
    ] = None,
    recovered: Annotated[
        Path | None,
        typer.Option(
            "--recovered",
            metavar="FILE.png",
            help="Write the whole picture, with what was cut away, where the system recovers it.",
        ),
    ] = None,
    watermark: Watermark = None,
    variant: Variant = None,
    weights: Weights = None,
) -> None:
    """Ask a system whether a picture was cropped, and which part of the original it is.

    The box is left, top, right and bottom edge in fractions of the original picture. What hid a
    watermark needs the same one again.
    """
    from PIL import Image

    from course_lib.files import plain, whole, write_text
    from course_lib.photos import read_photo
    from course_lib.systems import find_system
    from course_lib.witness import RECOVERED

    options = _options(system, watermark=watermark, variant=variant)
    open_witness = find_system(system).function("witness")
    if json and not json.name.endswith(".json"):
        raise UsageError(f"--json {json}: give a file name that ends in .json.")
    if figure and figure.suffix.lower() not in (".png", ".jpg", ".svg", ".pdf"):
        raise UsageError(f"--figure {figure}: give a name that ends in .png, .jpg, .svg or .pdf.")
    if recovered and recovered.suffix.lower() != ".png":
        raise UsageError(f"--recovered {recovered}: give a name that ends in .png.")
    seen = read_photo(picture)
    verdict = open_witness(weights, **options).examine(seen)
    print(f"{picture.name}: {verdict}")
    if json:
        box = list(verdict.box) if verdict.box else None
        numbers = {name: each for name, each in verdict.evidence.items() if name != RECOVERED}
        told = replace(verdict, evidence=numbers)
        answer = {"system": system, "picture": picture.name, **plain(told), "box": box}
        write_text(json, dumps(answer, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        print(f"wrote {json}")
    if figure:
        from course_lib.witness import picture_of

        with whole(figure) as partial:
            picture_of(seen, verdict).savefig(partial, format=figure.suffix[1:].lower())
        print(f"wrote {figure}")
    if recovered and RECOVERED not in verdict.evidence:
        print(f"{recovered} was not written: nothing was recovered")
    elif recovered:
        with whole(recovered) as partial:
            Image.fromarray(verdict.evidence[RECOVERED]).save(partial, format="PNG")
        print(f"wrote {recovered}")


@app.command(
    rich_help_panel=SYSTEMS,
    epilog=_examples(
        ("course protect rwn in.jpg out.png", "hide a watermark that the course draws"),
        ("course protect rwn in.jpg out.png --watermark w.jpg", "hide one's own"),
    ),
)
def protect(
    system: SystemName,
    picture: Annotated[
        Path, typer.Argument(metavar="PICTURE", help="The picture to be published.")
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT.png", help="Where the protected picture goes, as PNG."),
    ],
    watermark: Watermark = None,
    variant: Variant = None,
    weights: Weights = None,
) -> None:
    """Prepare a picture, so that a crop of it can be located later.

    Systems that read what is in every photograph anyway leave it as it is, and the command says so.
    """
    from PIL import Image

    from course_lib.files import whole
    from course_lib.photos import read_photo
    from course_lib.systems import find_system

    options = _options(system, watermark=watermark, variant=variant)
    open_witness = find_system(system).function("witness")
    if out.suffix.lower() != ".png":
        raise UsageError(f"{out}: give a name that ends in .png; JPEG would change the picture.")
    original = read_photo(picture)
    protected = open_witness(weights, **options).protect(original)
    with whole(out) as partial:
        Image.fromarray(protected).save(partial, format="PNG")
    unchanged = " (unchanged: this system needs no protection)" * bool(
        (protected == original).all()
    )
    print(f"wrote {out}{unchanged}")


@measure_app.command(
    "lens",
    epilog=_examples(
        ("course measure lens --photos DIR --json lens.json", "photos"),
        ("course measure lens --photos DIR --json flat.json --kind flatfield", "walls"),
    ),
)
def measure_lens(
    photos: Annotated[Path, typer.Option("--photos", metavar="DIR", help="Folder of photographs.")],
    json: Annotated[Path, typer.Option("--json", metavar="FILE", help="Where the numbers go.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="photos|flatfield",
            help="**photos**: ordinary ones, straight from cameras. **flatfield**: frames of "
            "something evenly lit, put together by camera.",
        ),
    ] = "photos",
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            help="A CSV table with columns file, source, licence and camera, for the provenance; "
            "without it cameras come from EXIF or from file names.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Measure only the first N pictures."),
    ] = None,
) -> None:
    """Measure what lenses did to a folder of photographs.

    From ordinary photographs: the magnification of red and blue relative to green, the optical
    centre, and an estimate of vignetting. From evenly lit frames: vignetting, against the
    paper's polynomial. The file holds a row for each photo or camera, a summary with 95 %
    intervals, and where the numbers come from. Pictures that cannot be measured are skipped
    and counted.
    """
    from course_lib.lens.measure import (
        Manifest,
        describe,
        measure_flatfields,
        measure_photos,
        write_json,
    )
    from course_lib.photos import folder

    measures = {"photos": measure_photos, "flatfield": measure_flatfields}
    if kind not in measures:
        raise UsageError(f"--kind {kind} is unknown: choose photos or flatfield.")
    if not json.name.endswith(".json"):
        raise UsageError(f"--json {json}: give a file name that ends in .json.")
    origins = Manifest(manifest)
    console = Console()
    with console.status("Reading the folder") as status:
        measured = measures[kind](
            folder(photos), origins, limit, lambda name: status.update(f"Measuring {name}")
        )
    write_json(json, measured)
    for line in describe(measured):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"wrote {json}", markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line: errors are one line, exit code 1 (failed) or 2 (wrong use)."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        sys.exit(app(arguments, prog_name="course", standalone_mode=False))
    except Exception as error:
        if debug:
            raise
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Print an error as one line and return the exit code that belongs to it."""
    message, code = str(error), 1
    if isinstance(error, CourseError):
        code = 2 if isinstance(error, UsageError) else 1
    elif isinstance(error, typer.Abort):
        message, code = "stopped.", 130
    elif isinstance(error, BrokenPipeError):
        sys.stderr.close()  # the reader of our output has left; nobody is there to be told
        return 1
    elif type(error).__name__ == "NoArgsIsHelpError":
        return 2  # the help has been shown
    elif hasattr(error, "format_message"):  # Typer's own: a wrong option or argument
        context = getattr(error, "ctx", None)
        where = f" See {context.command_path} --help." if context else ""
        message, code = f"{error.format_message().rstrip('.')}.{where}", 2
    else:
        message = f"{type(error).__name__}: {error} (--debug shows where)"
    errors.print("[red]Error:[/red] ", end="")
    errors.print(message, markup=False, highlight=False, soft_wrap=True)
    return code


if __name__ == "__main__":
    main()
