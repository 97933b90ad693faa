"""llm, with models of its extra-openai-models.yaml: https://github.com/simonw/llm."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from tests.server.clients.asked import ADDRESS, ANSWER, MODEL, QUESTION, TOO_LONG, UNKNOWN, raises

folder = Path(tempfile.mkdtemp())
os.environ["LLM_USER_PATH"] = str(folder)  # read when llm is imported
models = f"""
- {{model_id: chat, model_name: {MODEL}, api_base: "{ADDRESS}/v1"}}
- {{model_id: text, model_name: {MODEL}, api_base: "{ADDRESS}/v1", completion: true}}
- {{model_id: unknown, model_name: {UNKNOWN}, api_base: "{ADDRESS}/v1"}}
"""
(folder / "extra-openai-models.yaml").write_text(models, encoding="utf-8")


def ask(model: str, question: str, **options: Any) -> Any:
    import llm

    return llm.get_model(model).prompt(question, key="none", **options)


answer = ask("chat", QUESTION, temperature=0, stream=False)
assert answer.text() == ANSWER
assert answer.usage().output > len(ANSWER)

assert "".join(ask("chat", QUESTION, temperature=0)) == ANSWER

assert ask("text", "12+", max_tokens=4, stream=False).text()

with raises(Exception, "maximum context length"):
    ask("text", TOO_LONG).text()
with raises(Exception, "there is no model"):
    ask("unknown", QUESTION).text()
