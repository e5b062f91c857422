"""An image with a fake ``codebuddy`` that is unhealthy while ``/workspace/sick`` exists, and exits if
``/workspace/crash`` does. It is built from the host's own shell, so it needs no registry.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import docker

PROGRAM = """#!/bin/sh
case "$1" in
  health) if [ -e /workspace/sick ]; then echo "the language server is down"; exit 1; fi ;;
  *) if [ -e /workspace/crash ]; then echo "cannot go on"; exit 3; fi
     echo "started $1"; trap 'exit 0' TERM; while :; do sleep 60 & wait $!; done ;;
esac
"""


def root_file_system() -> bytes:
    """Return a tar archive with the host's own programs, the libraries that they need, and the fake one."""
    found: dict[str, bytes] = {"usr/local/bin/codebuddy": PROGRAM.encode()}
    for program in ("bin/sh", "bin/sleep", "usr/bin/cat", "usr/bin/stat"):
        path = shutil.which(Path(program).name)
        assert path
        found[program] = Path(path).read_bytes()
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            found[library.lstrip("/")] = Path(library).read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        home = tarfile.TarInfo("home/codebuddy")
        home.type, home.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(home)
        for name, content in found.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def import_faulty_image(client: docker.APIClient, image: str) -> None:
    """Import the image under ``repository:tag``, with an environment and a label of its own."""
    changes = ["ENV FROM_IMAGE=1 PATH=/bin:/usr/local/bin", "LABEL maker=someone"]
    repository, tag = image.split(":")
    client.import_image_from_data(root_file_system(), repository=repository, tag=tag, changes=changes)
