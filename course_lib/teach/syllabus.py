"""The lessons of the course, in order. The one place that lists them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A lesson as it stands in the table of contents.

    Parameters
    ----------
    number : str
        Two digits.
    slug : str
        The rest of the file name.
    title : str
        The lesson's heading.
    question : str
        The one question that it answers.
    """

    number: str
    slug: str
    title: str
    question: str

    @property
    def name(self) -> str:
        """The file name without its ending, such as ``01_lens_aberrations``."""
        return f"{self.number}_{self.slug}"


SYLLABUS: tuple[Entry, ...] = (
    Entry("00", "start_here", "Start here", "What can be asked of a picture that may be cropped?"),
    Entry(
        "01",
        "lens_aberrations",
        "What a lens does to a picture",
        "Which traces does a lens leave, and how do they tell where a patch was?",
    ),
    Entry(
        "02",
        "patch_localization",
        "Where was this patch?",
        "Can a network read a patch's position from the traces of the lens?",
    ),
    Entry(
        "03",
        "crop_detection",
        "Was this picture cropped?",
        "Can we tell that a picture was cropped, and what the whole frame was?",
    ),
    Entry(
        "04",
        "attacks",
        "What happens to published pictures",
        "What do compression, resizing and filtering leave of a picture?",
    ),
    Entry(
        "05",
        "invertible_networks",
        "Networks that run backwards",
        "How can a network hide something and lose nothing?",
    ),
    Entry(
        "06",
        "rwn",
        "No way to crop",
        "Can an invisible watermark show where a cropped picture was cut?",
    ),
    Entry(
        "07",
        "learning_jpeg",
        "Learning JPEG",
        "How can we train through a step that has no gradient?",
    ),
    Entry(
        "08",
        "clrnet",
        "Bringing back what was cut away",
        "How much of the lost area can the kept area carry?",
    ),
    Entry(
        "09",
        "positional_codes",
        "Position written into every patch",
        "Which patterns tell where they are, however small a piece is left?",
    ),
    Entry(
        "10",
        "stegapos",
        "Hiding position itself",
        "Can a network hide the position of every pixel, and read it after an attack?",
    ),
    Entry(
        "11",
        "splices",
        "Cut, moved and pasted",
        "Does hidden position show which parts of a picture come from elsewhere?",
    ),
    Entry(
        "12",
        "set_prediction",
        "Many good answers at once",
        "How does a network learn to propose a set of crops?",
    ),
    Entry(
        "13",
        "composition",
        "Choosing a good crop",
        "Which crops of a picture do people prefer, and can we find them?",
    ),
    Entry(
        "14",
        "arena",
        "The arena",
        "Which of the five systems tells a crop best, and under which attack?",
    ),
)
