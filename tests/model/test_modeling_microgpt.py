"""MicroGPT in transformers: its code goes with the folder, and works with several versions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import anexa
from anexa.engines import open_engine
from anexa.model.loading import load_model
from tests.model.foreign import automodel, random_folder, transformers

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.usefixtures("temporary_module_cache")

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
GREEDY: dict[str, Any] = {
    "max_new_tokens": 10,
    "do_sample": False,
    "eos_token_id": -1,
    "pad_token_id": 0,
}


@pytest.fixture
def microgpt(tmp_path: Path) -> Path:
    """A folder of a model with random weights."""
    random_folder(tmp_path / "model", {"model_type": "microgpt"})
    return tmp_path / "model"


def test_code_in_a_folder_needs_trust_remote_code(microgpt: Path) -> None:
    module = microgpt / "modeling_microgpt.py"
    module.write_text("raise SystemExit('it was run')", encoding="utf-8")
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        transformers.AutoModelForCausalLM.from_pretrained(microgpt, trust_remote_code=False)
    anexa.load(microgpt).generate(max_tokens=1)
    module.unlink()
    anexa.load(microgpt).generate(max_tokens=1)


@pytest.mark.parametrize(
    "more",
    [{}, {"cache_implementation": "static"}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 2}],
    ids=lambda more: "-".join(more) or "greedy",
)
def test_cached_generation_equals_uncached(microgpt: Path, more: dict[str, Any]) -> None:
    """The cache is used: after the prompt, the model reads only new tokens."""
    theirs = automodel(microgpt).eval()
    read: list[int] = []
    theirs.wte.register_forward_hook(lambda _, tokens, __: read.append(tokens[0].shape[1]))
    prompts = [[3, 1, 4, 1, 5]] + [[9]] * ("prompt_lookup_num_tokens" not in more)
    for prompt in prompts:  # of one token too: it fills less of a static cache than there is
        settings = GREEDY | {"num_beams": more.get("num_beams", 1)}
        plain = theirs.generate(torch.tensor([prompt]), use_cache=False, **settings)
        assert max(read) == len(prompt) + 9
        read.clear()
        cached = theirs.generate(torch.tensor([prompt]), **(settings | more))
        assert cached.tolist() == plain.tolist()
        assert read[0] == len(prompt)
        assert max(read[1:]) <= 3
        read.clear()


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_cache_is_accepted_under_both_names(microgpt: Path, name: str) -> None:
    theirs = automodel(microgpt).eval()
    with torch.no_grad():
        whole = theirs(torch.tensor([TOKENS])).logits
        cache = transformers.DynamicCache()
        parts = []
        for at in (0, 4):  # then one by one
            tokens = torch.tensor([TOKENS[at : at + 4]])
            output = theirs(tokens, **{name: cache})
            parts.append(output.logits)
            assert output.past_key_values is cache
            assert cache.get_seq_length() == at + 4
        parts += [theirs(torch.tensor([[t]]), **{name: cache}).logits for t in TOKENS[8:]]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-5)


def test_two_different_caches_are_refused(microgpt: Path) -> None:
    theirs, caches = automodel(microgpt), [transformers.DynamicCache() for _ in range(2)]
    with pytest.raises(ValueError, match="cache and past_key_values are two names"):
        theirs(torch.tensor([TOKENS]), cache=caches[0], past_key_values=caches[1])


@pytest.mark.parametrize(
    "argument",
    [
        {"token_type_ids": torch.zeros(1, 10)},
        {"inputs_embeds": torch.zeros(1, 10, 16)},
        {"output_attentions": True},
        {"output_hidden_states": True},
        {"is_causal": False},
        {"past": 0},
    ],
    ids=lambda argument: "".join(argument),
)
def test_unknown_arguments_are_refused_by_name(microgpt: Path, argument: dict[str, Any]) -> None:
    theirs, tokens = automodel(microgpt), torch.tensor([TOKENS])
    with pytest.raises(TypeError, match=f"microgpt.* {next(iter(argument))}"):
        theirs(tokens, **argument)


def test_unknown_arguments_that_are_none_are_accepted(microgpt: Path) -> None:
    theirs, tokens = automodel(microgpt), torch.tensor([TOKENS])
    expected = theirs(tokens).logits
    off = {"token_type_ids": None, "inputs_embeds": None, "output_attentions": False}
    output = theirs(tokens, **off, output_hidden_states=False, return_dict=True)
    assert torch.equal(output.logits, expected)


def test_unsupported_outputs_in_the_configuration_are_refused(microgpt: Path) -> None:
    theirs, tokens = automodel(microgpt, output_hidden_states=True), torch.tensor([TOKENS])
    with pytest.raises(TypeError, match="leave output_hidden_states false in the configuration"):
        theirs(tokens)
    with pytest.raises(TypeError, match="leave output_hidden_states false in the call"):
        theirs(tokens, output_hidden_states=True)
    assert theirs(tokens, output_hidden_states=False).logits.shape[:2] == (1, 10)


@pytest.mark.parametrize("kept", [2, torch.arange(9, -1, -1)], ids=["count", "indices"])
def test_labels_with_logits_to_keep_are_refused(microgpt: Path, kept: Any) -> None:
    """Logits of other tokens than the labels have no loss, even if they are as many."""
    theirs, tokens = automodel(microgpt), torch.tensor([TOKENS])
    with pytest.raises(ValueError, match="needs the logits of all tokens: leave logits_to_keep"):
        theirs(tokens, labels=tokens, logits_to_keep=kept)


def test_tied_head_is_refused(microgpt: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(microgpt, trust_remote_code=True)
    with pytest.raises(ValueError, match="untied: leave tie_word_embeddings false"):
        type(config)(tie_word_embeddings=True)


def test_cache_position_must_be_the_end_of_the_cache(microgpt: Path) -> None:
    theirs, cache = automodel(microgpt).eval(), transformers.DynamicCache()
    tokens = torch.tensor([TOKENS])
    theirs(tokens[:, :4], cache=cache, cache_position=torch.arange(4))
    with pytest.raises(ValueError, match="begins at 5, but the cache ends at 4"):
        theirs(tokens[:, 4:], cache=cache, cache_position=torch.arange(5, 11))
    output = theirs(tokens[:, 4:], cache=cache, cache_position=torch.arange(4, 10))
    expected = theirs(tokens).logits[:, 4:]
    torch.testing.assert_close(output.logits, expected, rtol=0, atol=1e-5)


def test_four_dimensional_attention_mask(microgpt: Path) -> None:
    """As booleans, and as what is added to the scores: here no query sees the token before it."""
    theirs, tokens = automodel(microgpt).eval(), torch.tensor([TOKENS])
    causal = torch.ones(10, 10).tril().bool()
    for mask, same in ((causal, True), (causal & ~torch.ones(10).diag(-1)[:10, :10].bool(), False)):
        for given in (mask, torch.where(mask, 0.0, float("-inf"))):
            logits = theirs(tokens, attention_mask=given[None, None]).logits
            close = torch.allclose(logits, theirs(tokens).logits, rtol=0, atol=1e-5)
            assert close is same


def test_outputs_of_forward(microgpt: Path) -> None:
    """Tuples with return_dict=False, logits_to_keep, and num_items_in_batch."""
    theirs, tokens = automodel(microgpt).eval(), torch.tensor([TOKENS])
    whole = theirs(tokens, labels=tokens)
    assert whole.past_key_values is None
    loss, logits = theirs(tokens, labels=tokens, return_dict=False)
    assert torch.equal(loss, whole.loss)
    assert torch.equal(logits, whole.logits)
    for kept, expected in ((2, logits[:, -2:]), (torch.tensor([1, 7]), logits[:, [1, 7]])):
        some = theirs(tokens, logits_to_keep=kept).logits
        torch.testing.assert_close(some, expected, rtol=0, atol=1e-6)
    share = theirs(tokens, labels=tokens, num_items_in_batch=torch.tensor(18)).loss
    torch.testing.assert_close(share, whole.loss / 2)


def test_left_padding_does_not_change_the_logits(microgpt: Path) -> None:
    """As in a batch of texts of several lengths."""
    theirs = automodel(microgpt).eval()
    rows = [[3, 1, 4, 1, 5], [9, 2, 6], [5]]
    longest = max(map(len, rows))
    filled = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    settings = GREEDY | {"max_new_tokens": 6}
    together = theirs.generate(filled, attention_mask=mask, **settings)
    for row, text in zip(rows, together):
        alone = theirs.generate(torch.tensor([row]), use_cache=False, **settings)[0]
        assert text[longest - len(row) :].tolist() == alone.tolist()


def test_microgpt_saved_by_transformers_can_be_loaded(microgpt: Path, tmp_path: Path) -> None:
    """The model is trained for a few steps, so that gradients reach every weight."""
    theirs = automodel(microgpt)
    tokens = torch.tensor([TOKENS])
    theirs(tokens, labels=tokens).loss.backward()
    with torch.no_grad():
        for parameter in theirs.parameters():
            assert parameter.grad.abs().sum() > 0
            parameter -= 0.1 * parameter.grad
        expected = theirs.eval()(tokens).logits[0]
    theirs.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "modeling_microgpt.py").exists()
    shutil.copy(microgpt / "tokenizer.json", tmp_path / "again")
    model = load_model(tmp_path / "again")
    logits = torch.tensor(open_engine("numpy", model.config, model.weights).logits(TOKENS))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_text_generation_pipeline(microgpt: Path) -> None:
    pipeline = transformers.pipeline("text-generation", str(microgpt), trust_remote_code=True)
    [written] = pipeline("caf", max_new_tokens=5, do_sample=False, return_full_text=False)
    ours = anexa.load(microgpt, engine="numpy").generate("caf", max_tokens=5, temperature=0)
    assert written["generated_text"] == ours
