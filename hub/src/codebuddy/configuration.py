"""What the fleet's planner wrote for a container: read once at start, typed, immutable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "CONFIG_PATH",
    "LINK_PORT",
    "SECRETS",
    "ClientEndpoint",
    "HubConfiguration",
    "HubProject",
    "JournalLimits",
    "RunLimits",
    "SpokeConfiguration",
    "Task",
]

CONFIG_PATH = Path("/etc/codebuddy/config.json")
SECRETS = Path("/run/secrets/codebuddy")
LINK_PORT = 3000
"""The port on which the hub takes links, on every project network."""

Name = Annotated[str, Field(min_length=1)]


class _Document(BaseModel):
    # A newer planner may write more than this program knows: what it does not know it leaves alone.
    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it; raise OSError when it is not there, ValidationError when the planner wrote something else."""
        return cls.model_validate_json(path.read_bytes())


class ClientEndpoint(_Document):
    """Where the hub listens for clients: an address of its front network, and the port as the host publishes it."""

    address: Name
    port: int
    published: int


class HubProject(_Document):
    """A project as the hub knows it: its profile, the directory on the host, and where its spoke's link arrives.

    ``format_on_write``: a file that is written through the hub is formatted before the commit.
    """

    profile: str
    host_path: str
    listen: Name
    tasks: list[str] = []
    languages: list[str] = []
    format_on_write: bool = False


class JournalLimits(_Document):
    """How much of the journal of edits is kept: its size, and the age of an edit."""

    max_bytes: int = 256 * 2**20
    max_age_seconds: int = 30 * 86400


class HubConfiguration(_Document):
    """The hub's configuration."""

    fleet: Name
    client: ClientEndpoint
    projects: dict[str, HubProject]
    run_width: int = 8  # so many projects at a time run what one call asks for
    journal: JournalLimits = JournalLimits()  # an older planner writes none


class Task(_Document):
    """A declared task: its command line, and the formats of its reports, if any (see `codebuddy.agent.reports`).

    ``{report}`` in an argument stands for the path of a file that the task writes its report to.
    """

    argv: Annotated[list[str], Field(min_length=1)]
    formats: list[str] = []


class RunLimits(_Document):
    """What the runs of a project may take.

    ``max_run_seconds``: the longest time-out of a run that its caller waits for; ``max_job_seconds``: of a job;
    ``max_jobs``: jobs at a time; ``output_bytes``: how much of a run's output is kept.
    """

    max_run_seconds: float = 3600.0
    max_job_seconds: float = 7 * 86400.0
    max_jobs: int = 8
    output_bytes: int = 64 * 2**20


class SpokeConfiguration(_Document):
    """A spoke's configuration: its project, what it can run, and the language servers it keeps."""

    project: Name
    profile: str
    tasks: dict[str, Task] = {}
    runs: RunLimits = RunLimits()
    egress: Literal["none", "any"] | list[str] = "none"  # or host names, `*.` for all below one
    environment: dict[str, str] = {}
    language_servers: list[dict[str, Any]] = []  # checked by codebuddy.agent.lsp.config
