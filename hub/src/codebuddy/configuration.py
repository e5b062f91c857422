"""The configuration files of hub and spokes, which the fleet's planner writes; each is read once, at start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from codebuddy.files.mounts import Expectation

CONFIG_PATH = Path("/etc/codebuddy/config.json")
SECRETS = Path("/run/secrets/codebuddy")

LINK_PORT = 3000
"""The port on which the hub accepts links, on every project network."""

Name = Annotated[str, Field(min_length=1)]


class _Document(BaseModel):
    # A newer planner may write more than this program knows; unknown fields are ignored.
    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file; raise OSError when it cannot be read, ValidationError when it does not fit."""
        return cls.model_validate_json(path.read_bytes())


class ClientEndpoint(_Document):
    """Where the hub listens for clients: an address of its front network, and the port as the host publishes it."""

    address: Name
    port: int
    published: int


class HubProject(_Document):
    """A project as the hub knows it."""

    profile: str
    host_path: str
    listen: Name  # the hub's address on the project's network, to which the spoke connects
    tasks: list[str] = []
    languages: list[str] = []
    format_on_write: bool = False  # whether a file written through the hub is formatted before the commit
    encodings: list[tuple[str, str]] = []  # of files that are not UTF-8, by glob; the last that fits counts
    has_egress: bool = False  # whether its programs reach anything outside
    expect: Expectation | None = None  # what must be mounted at its directory


class JournalLimits(_Document):
    """How much of the journal of edits is kept."""

    max_bytes: int = 256 * 2**20
    max_age_seconds: int = 30 * 86400


class HubConfiguration(_Document):
    """The hub's configuration."""

    fleet: Name
    client: ClientEndpoint
    projects: dict[str, HubProject]
    run_width: int = 8  # how many projects run at a time what one call asks for
    journal: JournalLimits = JournalLimits()  # an older planner writes none


class Task(_Document):
    """A declared task: its command line, and the formats of its reports (see `codebuddy.agent.reports`).

    ``{report}`` in an argument stands for the path of a file to which the task writes its report.
    """

    argv: Annotated[list[str], Field(min_length=1)]
    formats: list[str] = []


class RunLimits(_Document):
    """Limits on the runs of a project."""

    max_run_seconds: float = 3600.0  # the longest timeout of a run whose caller waits
    max_job_seconds: float = 7 * 86400.0
    max_jobs: int = 8  # at a time
    output_bytes: int = 64 * 2**20  # how much of a run's output is kept


class SpokeConfiguration(_Document):
    """A spoke's configuration: its project, its tasks and its language servers."""

    project: Name
    profile: str
    tasks: dict[str, Task] = {}
    runs: RunLimits = RunLimits()
    egress: Literal["none", "any"] | list[str] = "none"  # or host names, `*.` for all below one
    environment: dict[str, str] = {}
    encodings: list[tuple[str, str]] = []  # of files that are not UTF-8, by glob; the last that fits counts
    expect: Expectation | None = None  # what must be mounted at its directory
    language_servers: list[dict[str, Any]] = []  # validated by codebuddy.agent.lsp.config
