"""The one table of the tools that a spoke offers: the agent binds the handlers, the hub those that ask the spokes."""

from __future__ import annotations

from typing import Any, Final

from codebuddy.schemas import code, runs, status
from codebuddy.tool import ToolSpec

_PLACE: Final = "Give the place as line and column, as symbol (Class/method), or as line and text (the word meant)."
_CARET: Final = "Give the position as line and column, or as line and the text before it."

_SPECS: Final[list[ToolSpec[Any]]] = [
    ToolSpec(
        "find_definition",
        "read",
        f"Go to definition: find where a symbol is defined, according to the project's language server. {_PLACE}",
        code.PlaceArguments,
        code.LocationsResult,
    ),
    ToolSpec(
        "find_references",
        "read",
        f"Find usages: every reference to a symbol in its project, including its declaration. {_PLACE} Or give symbol "
        "without path: then every symbol of that name is looked up in all projects, or in those given.",
        code.ReferencesArguments,
        code.ReferencesResult,
    ),
    ToolSpec(
        "find_implementations",
        "read",
        f"Go to implementation: find what implements an interface, a trait or an abstract method. {_PLACE}",
        code.PlaceArguments,
        code.LocationsResult,
    ),
    ToolSpec(
        "find_symbols",
        "read",
        "Search the symbols (classes, functions, ...) of whole projects by a part of their name, as their language "
        "servers know them.",
        code.FindSymbolsArguments,
        code.FoundSymbols,
    ),
    ToolSpec(
        "document_symbols",
        "read",
        "Outline a file: list its symbols with kind, name, path (Class/method), the place of the name and the range of "
        "the whole symbol.",
        code.DocumentSymbolsArguments,
        code.SymbolsOfFile,
    ),
    ToolSpec(
        "hover",
        "read",
        f"Show the type, signature and documentation of a symbol. {_PLACE}",
        code.HoverArguments,
        code.HoverResult,
    ),
    ToolSpec(
        "completions",
        "read",
        f"Autocomplete: list completions of the word that ends at a position, like the members after a dot. {_CARET}",
        code.CompletionArguments,
        code.Completions,
    ),
    ToolSpec(
        "signature_help",
        "read",
        f"Show the signatures (parameters) of the function whose call's parentheses surround a position. {_CARET}",
        code.CaretArguments,
        code.SignatureHelp,
    ),
    ToolSpec(
        "call_hierarchy",
        "read",
        f"Find the callers of a function (incoming), or what it calls (outgoing), over several steps. {_PLACE}",
        code.CallHierarchyArguments,
        code.Hierarchy,
    ),
    ToolSpec(
        "type_hierarchy",
        "read",
        "Find what a type derives from (supertypes), or what derives from it (subtypes, subclasses), over several "
        f"steps. {_PLACE}",
        code.TypeHierarchyArguments,
        code.Hierarchy,
    ),
    ToolSpec(
        "diagnostics",
        "read",
        "Get the errors and warnings that the language servers report for a file, a directory or whole projects, for "
        "the text that is on disk now.",
        code.DiagnosticsArguments,
        code.DiagnosticsResult,
    ),
    ToolSpec(
        "code_actions",
        "read",
        "List the quick fixes and refactorings that the language servers offer for a place or range in code. Give the "
        "place as line and column (with end_line and end_column for a range), as symbol (Class/method), or as line and "
        "text (the word meant).",
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
        "Restart a project's language servers, or the one with the given name, and wait until they have loaded. They "
        "restart by themselves when they fail; use this when their answers look wrong.",
        code.RestartArguments,
        code.ServerStates,
    ),
    ToolSpec(
        "run_command",
        "run",
        "Run a command line (a list; no shell) in a project's container. Output is reported as progress while it "
        "appears; the answer has the output, the exit code, and how the run ended. A run that is still going after "
        "wait_seconds goes on as a job. With background, start a job and return at once.",
        runs.CommandArguments,
        runs.RunResult,
    ),
    ToolSpec(
        "run_task",
        "run",
        "Run a task that the project declares, such as test, check, build, lint, format or install. In addition to the "
        "output, the answer has test results as counts and failures with their places, and the findings of compilers "
        "and linters as diagnostics.",
        runs.TaskArguments,
        runs.RunResult,
    ),
    ToolSpec(
        "list_jobs",
        "run",
        "List jobs: what is running, and what has ended and can still be read.",
        runs.ListJobsArguments,
        runs.Jobs,
    ),
    ToolSpec(
        "job_output",
        "run",
        "Read the output of a job: page by page with the cursor, from an offset (negative: from the end), or only the "
        "lines that match a pattern. wait_seconds waits for more. For a task that has ended, the answer also has what "
        "its tests and compilers reported.",
        runs.JobOutputArguments,
        runs.JobOutput,
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
    ToolSpec("cancel_job", "run", "End a job and everything that it started.", runs.CancelJobArguments, runs.Job),
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
