"""The modules as Ansible runs them: arguments in, one JSON document out."""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import stat
from pathlib import Path
from typing import Any

import jwt
import pytest
from ansible.module_utils.testing import patch_module_args

LIBRARY = Path(__file__).parents[3] / "roles/hub/library"


def run(module: str, check: bool = False, **parameters: Any) -> dict[str, Any]:
    output = io.StringIO()
    arguments = {**parameters, "_ansible_check_mode": check}
    with patch_module_args(arguments), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        runpy.run_path(str(LIBRARY / f"{module}.py"), run_name="__main__")
    result: dict[str, Any] = json.loads(output.getvalue())
    return result


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def keypair(state: Path, check: bool = False) -> dict[str, Any]:
    return run(
        "codebuddy_keypair",
        check,
        private_key=str(state / "keys/signing.key"),
        public_key=str(state / "hub/keys/signing.pub"),
    )


def link_tokens(state: Path, *projects: str, check: bool = False, **more: Any) -> dict[str, Any]:
    tokens = [{"dest": str(state / f"tokens/{one}/token"), "subject": one, "projects": [one]} for one in projects]
    common = {"private_key": str(state / "keys/signing.key"), "issuer": "codebuddy:test", "audience": "codebuddy:link"}
    return run("codebuddy_token", check, **{**common, "tokens": tokens, **more})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_its_owner_can_read_the_private_key_and_the_public_one_is_in_another_directory(state: Path) -> None:
    assert keypair(state)["changed"]
    assert mode(state) == 0o700
    assert mode(state / "keys") == 0o700
    assert mode(state / "keys/signing.key") == 0o600
    assert [path.name for path in (state / "hub/keys").iterdir()] == ["signing.pub"]
    assert b"PRIVATE" not in (state / "hub/keys/signing.pub").read_bytes()


def test_a_second_run_changes_nothing(state: Path) -> None:
    keypair(state)
    link_tokens(state, "a", "b")
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    assert not keypair(state)["changed"]
    assert not link_tokens(state, "a", "b")["changed"]
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == before


def test_a_lost_public_key_is_derived_again_from_the_private_one(state: Path) -> None:
    keypair(state)
    public = state / "hub/keys/signing.pub"
    before = public.read_bytes()
    public.unlink()
    assert keypair(state)["changed"]
    assert public.read_bytes() == before


def test_a_damaged_private_key_is_not_replaced(state: Path) -> None:
    keypair(state)
    (state / "keys/signing.key").write_text("damaged")
    assert "restore it, or remove it" in keypair(state)["msg"]
    assert (state / "keys/signing.key").read_text() == "damaged"


def test_a_loosened_mode_is_restored(state: Path) -> None:
    keypair(state)
    (state / "keys/signing.key").chmod(0o644)
    assert keypair(state)["changed"]
    assert mode(state / "keys/signing.key") == 0o600


def test_check_mode_on_an_empty_host_creates_nothing(state: Path) -> None:
    assert keypair(state, check=True)["changed"]
    result = link_tokens(state, "a", check=True)
    assert result["changed"]
    assert "tokens/a/token: renewed, there is none" in result["diff"]["after"]
    assert not state.exists()


def test_one_call_issues_each_project_its_own_token(state: Path) -> None:
    keypair(state)
    link_tokens(state, "a", "b")
    for project in ("a", "b"):
        claims = jwt.decode(
            (state / f"tokens/{project}/token").read_text().strip(), options={"verify_signature": False}
        )
        assert (claims["sub"], claims["projects"], claims["aud"]) == (project, [project], "codebuddy:link")
        assert mode(state / f"tokens/{project}/token") == 0o400


def test_only_the_token_that_needs_it_is_renewed(state: Path) -> None:
    keypair(state)
    link_tokens(state, "a", "b")
    kept = (state / "tokens/a/token").read_text()
    (state / "tokens/b/token").chmod(0o600)
    (state / "tokens/b/token").write_text("forged")
    result = link_tokens(state, "a", "b")
    assert [(one["subject"], one["renewed"]) for one in result["tokens"]] == [("a", False), ("b", True)]
    assert (state / "tokens/a/token").read_text() == kept


def test_a_new_key_renews_the_tokens(state: Path) -> None:
    keypair(state)
    link_tokens(state, "a")
    (state / "keys/signing.key").unlink()
    keypair(state)
    assert "fleet's key" in link_tokens(state, "a")["tokens"][0]["reason"]


def test_only_the_result_of_a_token_without_a_file_contains_the_token(state: Path) -> None:
    keypair(state)
    result = link_tokens(state, "a")
    assert (state / "tokens/a/token").read_text().split(".")[2].strip() not in json.dumps(result)
    given = link_tokens(state, tokens=[{"subject": "me", "projects": ["*"]}])
    assert not given["changed"]
    assert given["tokens"][0]["token"].count(".") == 2


def test_without_a_key_the_error_names_the_command_to_run(state: Path) -> None:
    assert "run `make up` first" in link_tokens(state, "a")["msg"]
    told = link_tokens(state, "a", up_command="make up INVENTORY=/x")["msg"]
    assert "run `make up INVENTORY=/x` first" in told


def test_a_shared_directory_keeps_its_mode(state: Path, tmp_path: Path) -> None:
    keypair(state)
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    link_tokens(state, tokens=[{"dest": str(shared / "token"), "subject": "me", "projects": ["*"]}])
    assert mode(shared) == 0o755
