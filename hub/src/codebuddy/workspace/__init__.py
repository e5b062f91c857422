"""Files of a project, never outside it: confinement, reading, writing, search, text.

`Workspaces` gives a project's `ProjectRoot`; the functions of `reading`, `search` and `replacing` work below it. All of
them block on the file system: call them from threads.
"""

from codebuddy.workspace.confinement import ProjectRoot
from codebuddy.workspace.paths import WorkspacePath
from codebuddy.workspace.workspaces import Workspaces

__all__ = ["ProjectRoot", "WorkspacePath", "Workspaces"]
