"""The parts that are used of the messages of Label Studio 1.23 to a machine-learning backend."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, FailFast, Field, FiniteFloat

Item = TypeVar("Item")
Many: TypeAlias = Annotated[list[Item], FailFast()]
OneOrMore: TypeAlias = Annotated[
    list[Item], FailFast(), BeforeValidator(lambda value: value if isinstance(value, list) else [value])
]


class Value(BaseModel):
    """The shape of a region, and its labels: a brush or a bitmask, others in per cent of the image's sides."""

    rle: Many[int] = []
    bitmask: str = Field("", alias="imageDataURL")
    x: FiniteFloat = 0
    y: FiniteFloat = 0
    width: FiniteFloat = 0
    height: FiniteFloat = 0
    rotation: FiniteFloat = 0
    """Degrees by which a rectangle is turned around its corner (x, y), clockwise."""
    points: Many[tuple[FiniteFloat, FiniteFloat]] = []
    brushlabels: Many[str] = []
    bitmasklabels: Many[str] = []
    keypointlabels: Many[str] = []
    polygonlabels: Many[str] = []
    rectanglelabels: Many[str] = []
    ellipselabels: Many[str] = []


class Drawn(BaseModel):
    """A region of an annotation; choices and relations have no labels."""

    id: str = ""
    type: str = ""
    origin: str = "manual"
    """Or "prediction" if a person left it as it came, "prediction-changed" if not."""
    is_positive: bool = True
    """False for a smart point that was set with Alt."""
    original_width: int = 0
    original_height: int = 0
    value: Value = Value()


class Annotation(BaseModel):
    """The regions that a person saved, or that the task was skipped."""

    id: int
    result: Annotated[list[Drawn], FailFast(), BeforeValidator(lambda value: [] if value is None else value)] = []
    was_cancelled: bool = False


class Task(BaseModel):
    """Something to label."""

    id: int
    data: dict[str, Any] = {}
    annotations: Many[Annotation] = []


class Project(BaseModel):
    """The project of an event."""

    id: int
    label_config: str = ""


class Setup(BaseModel):
    """A project that connects: `POST /setup`."""

    label_config: str = Field(alias="schema")


class Context(BaseModel):
    """Regions that were just drawn with a smart tool."""

    result: Many[Drawn] = []


class Parameters(BaseModel):
    """The parameters of a request for predictions."""

    context: Context | None = None


class PredictRequest(BaseModel):
    """Asks for predictions of tasks: `POST /predict`."""

    tasks: Many[Task]
    project: Annotated[str, Field(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?$")]
    """Its number, a dot, and the time when it was made."""
    label_config: str
    params: Parameters = Parameters()

    @property
    def drawn(self) -> list[Drawn]:
        """Regions that were just drawn; none when tasks are opened or imported."""
        return self.params.context.result if self.params.context else []

    @property
    def project_id(self) -> int:
        """The number alone, as webhooks have it."""
        return int(self.project.partition(".")[0])


class WebhookEvent(BaseModel):
    """An event: `POST /webhook`. Each action has some of these fields."""

    action: str
    project: Project | None = None
    task: OneOrMore[Task] = []
    annotation: OneOrMore[Annotation] = []
    tasks: Many[Task] = []
    annotations: Many[Annotation] = []
