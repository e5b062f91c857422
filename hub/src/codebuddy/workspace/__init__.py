"""Files of a project, never outside it: confinement, reading, search, text. Writing is the affair of ``edits``.

`Workspaces` gives a project's `ProjectRoot`; the functions of `reading` and `search` work below it. All of them block
on the file system: call them from threads.
"""

from codebuddy.workspace.confinement import ProjectRoot
from codebuddy.workspace.paths import WorkspacePath
from codebuddy.workspace.workspaces import Workspaces

__all__ = ["ProjectRoot", "WorkspacePath", "Workspaces"]
