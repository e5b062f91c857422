"""The one table of the tools that a spoke offers: the agent binds the handlers, the hub those that ask the spokes."""

from __future__ import annotations

from typing import Any, Final

from codebuddy.schemas import code, runs, status
from codebuddy.tool import ToolSpec

_PLACE: Final = "Place: line and column; symbol (Class/method); or line and text (the word)."
_CARET: Final = "Position: line and column; or line and the text before it."

CODE_ARGUMENTS: Final = """\
Arguments that many tools share:
- A place in code is path with line and column (from 1, in Unicode code points); or symbol, its name in that file, like
  Class/method; or line and text, the word meant on that line.
- limit, cursor: how many items; a cut answer has a cursor: repeat the call with it to go on.
- detail: "full" gives every field; left out, an answer has what is mostly needed.
- timeout_seconds: how long to wait, for language servers while they load too."""
"""What the schemas do not say again with each tool: a part of the instructions for a client's model."""

_SPECS: Final[list[ToolSpec[Any]]] = [
    ToolSpec(
        "find_definition",
        "read",
        f"Go to definition: where a symbol is declared. {_PLACE}",
        code.PlaceArguments,
        code.LocationsResult,
    ),
    ToolSpec(
        "find_references",
        "read",
        f"Find usages (references): everywhere a function, class or other symbol is used. {_PLACE} Or symbol without "
        "path: every symbol of that name in the projects.",
        code.ReferencesArguments,
        code.ReferencesResult,
    ),
    ToolSpec(
        "find_implementations",
        "read",
        f"Go to implementation: what implements an interface, trait or abstract method. {_PLACE}",
        code.PlaceArguments,
        code.LocationsResult,
    ),
    ToolSpec(
        "find_symbols",
        "read",
        "Search symbols: find classes, functions, ... by a part of their name, in whole projects.",
        code.FindSymbolsArguments,
        code.FoundSymbols,
    ),
    ToolSpec(
        "document_symbols",
        "read",
        "Outline of a file: list its functions, classes and other symbols, with path (Class/method), place and lines.",
        code.DocumentSymbolsArguments,
        code.SymbolsOfFile,
    ),
    ToolSpec(
        "hover",
        "read",
        f"Show the type, signature and documentation of a variable, function or other symbol. {_PLACE}",
        code.HoverArguments,
        code.HoverResult,
    ),
    ToolSpec(
        "completions",
        "read",
        f"Autocomplete (code completion): list completions at a position, like the members after a dot. {_CARET}",
        code.CompletionArguments,
        code.Completions,
    ),
    ToolSpec(
        "signature_help",
        "read",
        f"Show the parameters (signatures) of the function that is called at a position. {_CARET}",
        code.CaretArguments,
        code.SignatureHelp,
    ),
    ToolSpec(
        "call_hierarchy",
        "read",
        f"Find who calls a function (incoming: callers), or what it calls (outgoing), over depth steps. {_PLACE}",
        code.CallHierarchyArguments,
        code.Hierarchy,
    ),
    ToolSpec(
        "type_hierarchy",
        "read",
        f"Find the base classes of a type (supertypes), or its subclasses (subtypes), over depth steps. {_PLACE}",
        code.TypeHierarchyArguments,
        code.Hierarchy,
    ),
    ToolSpec(
        "diagnostics",
        "read",
        "Get errors and warnings (type errors, lint) of a file, a directory or whole projects from language servers.",
        code.DiagnosticsArguments,
        code.DiagnosticsResult,
    ),
    ToolSpec(
        "code_actions",
        "read",
        "List quick fixes and refactorings (organize imports, extract function, ...) for a place or, with end_line and "
        f"end_column, a range. {_PLACE}",
        code.CodeActionsArguments,
        code.CodeActions,
    ),
    ToolSpec(
        "plan_rename",
        "write",
        "Compute the changes that rename a symbol everywhere in the project; nothing is written.",
        code.RenameArguments,
        code.PlannedRename,
        hub_only=True,
    ),
    ToolSpec(
        "plan_move",
        "write",
        "Compute how imports change when a file or directory moves; nothing is written.",
        code.PlanMoveArguments,
        code.PlannedMove,
        hub_only=True,
    ),
    ToolSpec(
        "plan_format",
        "write",
        "Compute the changes that format a file; nothing is written.",
        code.PlanFormatArguments,
        code.PlannedChanges,
        hub_only=True,
    ),
    ToolSpec(
        "format_text",
        "write",
        "Format a text as a file of the project; nothing is written.",
        code.FormatTextArguments,
        code.FormattedText,
        hub_only=True,
    ),
    ToolSpec(
        "plan_action",
        "write",
        "Compute the changes that a quick fix or refactoring makes; nothing is written.",
        code.PlanActionArguments,
        code.PlannedAction,
        hub_only=True,
    ),
    ToolSpec(
        "plan_symbol_edit",
        "write",
        "Compute the change that replaces a symbol or puts code beside it; nothing is written.",
        code.SymbolEditArguments,
        code.PlannedChanges,
        hub_only=True,
    ),
    ToolSpec(
        "files_changed",
        "write",
        "Notify the language servers of files that were written, created, moved or deleted.",
        code.FilesChangedArguments,
        code.FilesChangedResult,
        hub_only=True,
    ),
    ToolSpec(
        "restart_language_server",
        "run",
        "Restart language servers whose answers look wrong, and wait until they have loaded.",
        code.RestartArguments,
        code.ServerStates,
        starts_programs=True,
    ),
    ToolSpec(
        "run_command",
        "run",
        "Run (execute) a command line in the containers of the projects: all, unless projects says which. No shell, "
        "unless argv names one.",
        runs.CommandArguments,
        runs.RunResult,
        destructive=True,
        starts_programs=True,
    ),
    ToolSpec(
        "run_task",
        "run",
        "Run a task that a project declares (test, check, build, compile, lint, format, install, ...) in the "
        "containers of projects: all, unless projects says which. Answers with failed tests and compiler errors, and "
        "their places.",
        runs.TaskArguments,
        runs.RunResult,
        destructive=True,
        starts_programs=True,
    ),
    ToolSpec(
        "list_jobs",
        "run",
        "List jobs (background runs): running, and ended ones that can still be read.",
        runs.ListJobsArguments,
        runs.Jobs,
        read_only=True,
    ),
    ToolSpec(
        "job_output",
        "run",
        "Read the output (log) of a job: from a cursor or offset on, or only the lines that match a pattern.",
        runs.JobOutputArguments,
        runs.JobOutput,
        read_only=True,
    ),
    ToolSpec(
        "cancel_job",
        "run",
        "End (stop, kill) a job and all its processes.",
        runs.CancelJobArguments,
        runs.Job,
        destructive=True,
        idempotent=True,
    ),
    ToolSpec(
        "attach_run",
        "run",
        "Wait again for a run whose link broke.",
        runs.AttachArguments,
        runs.RunResult,
        hub_only=True,
    ),
    ToolSpec(
        "claim_runs",
        "run",
        "End the runs whose link broke, but for those that are named.",
        runs.ClaimArguments,
        runs.Claimed,
        hub_only=True,
    ),
    ToolSpec(
        "spoke_status",
        "read",
        "Report the state of this spoke and its language servers.",
        status.StatusArguments,
        status.SpokeStatus,
        hub_only=True,
    ),
]

SPOKE_TOOLS: Final = {spec.name: spec for spec in _SPECS}
"""Name → tool. What the hub offers under the same name differs only in what `ToolSpec.bind` is given there."""
