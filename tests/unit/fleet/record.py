"""Records the answers of an engine about a fleet: ``PYTHONPATH=tests/support python tests/unit/fleet/record.py``.

Run it as root when the plan contains a new setting. It uses the recorded declaration, whose directories below ``/srv``
must not exist and are removed afterwards.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import ansible.module_utils
import docker

from codebuddy_testing.faulty_image import import_faulty_image

ROOT = Path(__file__).parents[3]
for folder in ROOT.glob("roles/*/module_utils"):
    ansible.module_utils.__path__.append(str(folder))

from ansible.module_utils.codebuddy_fleet import converge, host_facts  # noqa: E402

RECORDED = Path(__file__).parent / "recorded" / "engine_api_1_41.json"


def record(answers: dict[str, Any]) -> dict[str, Any]:
    """Create the declared fleet and return the engine's answers, with the keys of the old ones."""
    fleet, projects = answers["declaration"]["fleet"], answers["declaration"]["projects"]
    client = docker.APIClient(version="1.41")
    host = "unix:///var/run/docker.sock"
    label = {"label": f"codebuddy.fleet={fleet['name']}"}
    image = fleet["hub"]["image"]
    made = [Path(fleet["state_dir"]), *(Path(project["path"]) for project in projects)]
    if taken := [path for path in made if path.exists()]:
        raise SystemExit(f"{taken[0]} exists, so this would not be the recorded fleet.")
    sources = [made[0] / below for below in ("hub/keys", "hub/journal", *(f"tokens/{p['id']}" for p in projects))]
    try:
        import_faulty_image(client, image)
        for directory in (*made, *sources):
            directory.mkdir(parents=True)
        converge.read_host_facts = lambda _: host_facts.HostFacts()  # without the inodes of this machine
        converge.override(host, fleet, projects, health_timeout=60, purge=False, check_mode=False)
        found: dict[str, Any] = client.inspect_image(image)  # type: ignore[no-untyped-call]  # the stubs have none
        summaries = client.containers(all=True, filters=label)
        return {
            "containers": [client.inspect_container(summary["Id"]) for summary in summaries],
            "declaration": answers["declaration"],
            "image": {key: found[key] for key in answers["image"]},
            "info": {key: client.info()[key] for key in answers["info"]},
            "networks": client.networks(filters=label),
            "summaries": summaries,
            "volumes": client.volumes(filters=label)["Volumes"],
        }
    finally:
        converge.delete(host, fleet, [], purge=True, check_mode=False)
        client.remove_image(image, force=True)
        for directory in made:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    answers = record(json.loads(RECORDED.read_text()))
    RECORDED.write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")
