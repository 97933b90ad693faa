"""The commands of docs/finetune.md that are marked to be run, in order, as a user would."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend

from anexa.model.tokenizer import Tokenizer
from tests.cli.process import ANEXA, environment
from tests.pages import TEXT, read_page, run_blocks
from tests.training.test_conversation_corpus import write_conversations

PAGE = read_page("finetune.md")


@pytest.mark.slow
def test_every_command_works(tmp_path: Path) -> None:
    for module in ("transformers", "torch", "gguf"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    from tests.model.foreign import GPT2, write_folder
    from tests.server.process import serving

    backend = Backend.from_str(Tokenizer.train_bpe([TEXT], 400, adds_bos=False).to_json())
    write_folder(tmp_path / "gpt2", **GPT2 | {"backend": backend}, n_positions=256)
    (tmp_path / "notes" / "old").mkdir(parents=True)
    for name in ("monday.md", "tuesday.txt", "old/sunday.md"):
        (tmp_path / "notes" / name).write_text(f"# {name}\n\n{TEXT}", encoding="utf-8")
    (tmp_path / "sherlock.txt").write_text(TEXT, encoding="utf-8")
    write_conversations(tmp_path).rename(tmp_path / "conversations.jsonl")
    commands = []
    for language, text in run_blocks(PAGE):
        if language == "py":
            commands.append([sys.executable, "-c", text])
        else:
            commands += [[*ANEXA, *shlex.split(line)[1:]] for line in text.splitlines()]
    with ExitStack() as servers:
        for command in commands:
            if "serve" in command:
                servers.enter_context(serving(*command[len(ANEXA) + 1 :], cwd=tmp_path))
                continue
            result = subprocess.run(
                command, cwd=tmp_path, env=environment(), capture_output=True, encoding="utf-8"
            )
            assert result.returncode == 0, (command, result.stderr)
            assert result.stdout, command
            if "--from" in command:
                assert "loss on your validation text" in result.stdout
                assert "loss on general text (python-docs)" in result.stdout
    models = {path.name for path in (tmp_path / "models").iterdir()}
    named = re.findall(r"--out models/(\S+)", "".join(text for _, text in run_blocks(PAGE)))
    assert models == {"gpt2-notes", *named}


def test_each_step_has_a_command() -> None:
    text = "".join(text for _, text in run_blocks(PAGE))
    for part in (
        "--from gpt2",
        "conversations.jsonl",
        "anexa serve",
        "--to gguf",
        "from_pretrained",
    ):
        assert part in text
