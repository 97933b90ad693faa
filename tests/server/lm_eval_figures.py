"""Evaluates a model with lm-evaluation-harness, for `test_lm_eval`.

Its arguments are the harness's name of the model, its arguments of the model, a file of questions,
the batch size and the names of tasks; it prints for each task the responses to every question.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from lm_eval import simple_evaluate

TASKS: dict[str, dict[str, Any]] = {
    "choice": {  # which answer is the most likely
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}=",
        "doc_to_choice": "choices",
        "doc_to_target": 0,
        "target_delimiter": "",
    },
    "rolling": {  # how likely is a text, which may be longer than the context
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "text",
        "metric_list": [{"metric": "byte_perplexity"}],
    },
    "generation": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}=",
        "doc_to_target": "{{choices[0]}}",
        "target_delimiter": "",
        "generation_kwargs": {"until": ["+7", "\n"], "do_sample": False, "max_gen_toks": 24},
    },
    "chat": {
        "output_type": "generate_until",
        "doc_to_text": "question",
        "doc_to_target": "{{choices[0]}}",
        "generation_kwargs": {"until": ["\n\n"], "do_sample": False, "max_gen_toks": 200},
    },
}


def main(model: str, arguments: str, questions: str, batch_size: str, *names: str) -> None:
    """Evaluate the model on tasks, and print the responses as JSON."""
    tasks = [
        {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": questions}},
            "test_split": "test",
            **TASKS[name],
        }
        for name in names
    ]
    evaluated = simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=tasks,
        batch_size=int(batch_size),
        device="cpu",
        apply_chat_template=names == ("chat",),
        bootstrap_iters=0,
    )
    assert evaluated
    responses = {
        name: [one["resps"] for one in sorted(samples, key=lambda one: one["doc_id"])]
        for name, samples in evaluated["samples"].items()
    }
    sys.stdout.write(json.dumps(responses) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
