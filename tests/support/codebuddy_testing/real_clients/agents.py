"""The agents that people use: how each is told of the hub and of the scripted model, and asked to do one task."""

from __future__ import annotations

import json
from typing import Any

from codebuddy_testing.real_clients.client import Client, Command, Place, node_path

MODEL = "scripted"
PROMPT = "Do what the script says."


def claude_code(client: Client, place: Place) -> Command:
    server: dict[str, Any] = {"type": "http", "url": place.hub, "headers": {"Authorization": place.bearer}}
    if client.over_stdio:
        server = {"command": place.process[0], "args": place.process[1:]}
    servers = place.write("servers.json", {"mcpServers": {"codebuddy": server}})
    words = [client.program("claude"), "-p", PROMPT, "--model", "sonnet", "--mcp-config", str(servers)]
    words += ["--strict-mcp-config", "--allowedTools", "mcp__codebuddy"]
    environment = {
        "ANTHROPIC_BASE_URL": place.model,
        "ANTHROPIC_API_KEY": "sk-none",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    return Command(words, environment)


def codex(client: Client, place: Place) -> Command:
    server = f'url = "{place.hub}"\nbearer_token_env_var = "CODEBUDDY_TOKEN"'
    if client.over_stdio:
        server = f"command = {json.dumps(place.process[0])}\nargs = {json.dumps(place.process[1:])}"
    place.write(
        ".codex/config.toml",
        f"""
model = "gpt-5.1"
model_provider = "scripted"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[model_providers.scripted]
name = "scripted"
base_url = "{place.model}/v1"
wire_api = "responses"
env_key = "SCRIPTED_KEY"

[mcp_servers.codebuddy]
{server}
required = true
default_tools_approval_mode = "approve"
""",
    )
    environment = {"SCRIPTED_KEY": "none", "CODEBUDDY_TOKEN": place.token, "PATH": node_path()}
    return Command([client.program("codex"), "exec", "--skip-git-repo-check", PROMPT], environment)


def gemini(client: Client, place: Place) -> Command:
    server = {"httpUrl": place.hub, "headers": {"Authorization": place.bearer}, "trust": True}
    place.write(
        ".gemini/settings.json",
        {
            "mcpServers": {"codebuddy": server},
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
        },
    )
    words = [client.program("gemini"), "-m", "gemini-2.5-pro", "--yolo", "--skip-trust", "-p", PROMPT]
    environment = {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": place.model, "PATH": node_path()}
    return Command(words, environment)


def opencode(client: Client, place: Place) -> Command:
    server = {"type": "remote", "url": place.hub, "headers": {"Authorization": place.bearer}, "oauth": False}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": MODEL,
        "options": {"baseURL": f"{place.model}/v1", "apiKey": "none"},
        "models": {MODEL: {"name": MODEL, "tool_call": True, "limit": {"context": 200000, "output": 8000}}},
    }
    place.write(
        ".config/opencode/opencode.json",
        {
            "model": f"{MODEL}/{MODEL}",
            "small_model": f"{MODEL}/{MODEL}",
            "provider": {MODEL: provider},
            "mcp": {"codebuddy": server},
            "autoupdate": False,
            "share": "disabled",
        },
    )
    environment = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1", "PATH": node_path()}
    return Command([client.program("opencode"), "run", "--auto", PROMPT], environment)


def copilot(client: Client, place: Place) -> Command:
    server = {"type": "http", "url": place.hub, "headers": {"Authorization": place.bearer}, "tools": ["*"]}
    place.write(".copilot/mcp-config.json", {"mcpServers": {"codebuddy": server}})
    environment = {
        "COPILOT_PROVIDER_BASE_URL": f"{place.model}/v1",
        "COPILOT_PROVIDER_API_KEY": "none",
        "COPILOT_MODEL": MODEL,
        "COPILOT_OFFLINE": "true",
        "COPILOT_AUTO_UPDATE": "false",
        "PATH": node_path(),
    }
    return Command([client.program("copilot"), "-p", PROMPT, "--allow-all-tools"], environment)


def cline(client: Client, place: Place) -> Command:
    server = {
        "type": "streamableHttp",
        "url": place.hub,
        "headers": {"Authorization": place.bearer},
        "disabled": False,
        "timeout": 300,
    }
    place.write(".cline/data/settings/cline_mcp_settings.json", {"mcpServers": {"codebuddy": server}})
    setup = [
        client.program("cline"),
        "auth",
        "-p",
        "openai-compatible",
        "-k",
        "none",
        "-m",
        MODEL,
        "-b",
        f"{place.model}/v1",
    ]
    words = [client.program("cline"), "--auto-approve", "true", PROMPT]
    shell = f'{" ".join(setup)} </dev/null && exec "$@"'
    return Command(["sh", "-c", shell, "sh", *words], {"PATH": node_path()})


AGENTS = [
    Client("Claude Code", "claude-code", claude_code, in_ci=True),
    Client("Codex", "codex", codex, in_ci=True),
    Client("Claude Code, stdio", "claude-code", claude_code, over_stdio=True),
    Client("Codex, stdio", "codex", codex, over_stdio=True),
    Client("Gemini CLI", "gemini", gemini),
    Client("opencode", "opencode", opencode),
    Client("Copilot CLI", "copilot", copilot),
    Client("Cline", "cline", cline),
]
