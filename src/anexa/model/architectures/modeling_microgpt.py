"""MicroGPT for Hugging Face transformers: the least that is still a GPT.

RMSNorm without gains, also right after the embeddings; ReLU; no biases; learned positions; an
output head of its own. Anexa, which wrote this folder, does not run this file; transformers does:

    AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)

B batch, T time, S = past + T, C width, H heads, D head width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast


class MicroGPTConfig(PretrainedConfig):
    """The sizes of a model, by GPT-2's names.

    Attributes:
        vocab_size: number of different tokens, V.
        n_positions: the most tokens it can look at.
        n_embd: width, C.
        n_head: attention heads, H.
        n_layer: blocks.
        rms_norm_epsilon: what the normalisations add to a mean square.
    """

    model_type = "microgpt"
    attribute_map = {  # noqa: RUF012 (transformers declares it so)
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }

    def __init__(
        self,
        vocab_size: int = 27,
        n_positions: int = 16,
        n_embd: int = 16,
        n_head: int = 4,
        n_layer: int = 1,
        rms_norm_epsilon: float = 1e-5,
        tie_word_embeddings: bool = False,
        **others: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.n_positions = n_positions
        self.n_embd = n_embd
        self.n_head = n_head
        self.n_layer = n_layer
        self.rms_norm_epsilon = rms_norm_epsilon
        super().__init__(tie_word_embeddings=tie_word_embeddings, **others)


class MicroGPTBlock(nn.Module):
    """Attention, then an MLP, each added to what comes in."""

    def __init__(self, config: MicroGPTConfig, layer: int) -> None:
        super().__init__()
        width = config.n_embd
        self.n_head, self.eps, self.layer = config.n_head, config.rms_norm_epsilon, layer
        self.attn_wq = nn.Linear(width, width, bias=False)
        self.attn_wk = nn.Linear(width, width, bias=False)
        self.attn_wv = nn.Linear(width, width, bias=False)
        self.attn_wo = nn.Linear(width, width, bias=False)
        self.mlp_fc1 = nn.Linear(width, 4 * width, bias=False)
        self.mlp_fc2 = nn.Linear(4 * width, width, bias=False)

    def forward(self, x_BTC: Tensor, seen_BHTS: Tensor, past: Cache | None) -> Tensor:
        """The stream after this block.

        Args:
            x_BTC: before it.
            seen_BHTS: which keys a query sees; H is 1.
            past: earlier keys and values; takes the new ones in.
        """
        h_BTC = rms_norm(x_BTC, self.eps)
        q_BHTD, k_BHSD, v_BHSD = (
            project(h_BTC).unflatten(-1, (self.n_head, -1)).transpose(1, 2)
            for project in (self.attn_wq, self.attn_wk, self.attn_wv)
        )
        if past is not None:
            k_BHSD, v_BHSD = past.update(k_BHSD, v_BHSD, self.layer)
        h_BHTD = functional.scaled_dot_product_attention(q_BHTD, k_BHSD, v_BHSD, seen_BHTS)
        x_BTC = x_BTC + self.attn_wo(h_BHTD.transpose(1, 2).flatten(-2))
        h_BTC = rms_norm(x_BTC, self.eps)
        result: Tensor = x_BTC + self.mlp_fc2(functional.relu(self.mlp_fc1(h_BTC)))
        return result


class MicroGPTForCausalLM(PreTrainedModel, GenerationMixin):
    """The model with its head: tokens in, logits of the next ones out."""

    config_class = MicroGPTConfig
    config: MicroGPTConfig
    _supports_sdpa = True

    def __init__(self, config: MicroGPTConfig) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.layers = nn.ModuleList(MicroGPTBlock(config, i) for i in range(config.n_layer))
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The table of tokens."""
        return self.wte

    def get_output_embeddings(self) -> nn.Module:
        """The head."""
        return self.lm_head

    def _init_weights(self, module: nn.Module) -> None:
        """N(0, 0.08) throughout."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.08)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, V), and the mean loss in nats where there are labels.

        Args:
            input_ids: (B, T).
            attention_mask: (B, S), 0 for filling; None: there is none.
            position_ids: (B, T); None: from the mask, or in a row after what has been read.
            past_key_values: earlier keys and values; takes the new ones in.
            labels: (B, T), the input itself, -100 where there is nothing to predict.
            use_cache: whether to keep keys and values where none are given.
            logits_to_keep: of so many of the last tokens; 0: of all.
            _: what other models know.
        """
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        start = past_key_values.get_seq_length() if past_key_values is not None else 0
        n = input_ids.shape[1]
        places_T = torch.arange(start, start + n, device=input_ids.device)
        places_S = torch.arange(start + n, device=input_ids.device)
        seen_BHTS = (places_S <= places_T[:, None])[None, None]
        if attention_mask is not None:
            unfilled = attention_mask.bool()
            itself = places_S == places_T[:, None]  # so that filling too has something to look at
            seen_BHTS = (seen_BHTS & unfilled[:, None, None, : start + n]) | itself
        if position_ids is None and attention_mask is not None:
            position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)[:, start : start + n]
        position_ids = places_T[None] if position_ids is None else position_ids
        eps = self.config.rms_norm_epsilon
        x_BTC = rms_norm(self.wte(input_ids) + self.wpe(position_ids), eps)
        for block in self.layers:
            x_BTC = block(x_BTC, seen_BHTS, past_key_values)
        logits_BTV = self.lm_head(x_BTC[:, -logits_to_keep:])
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(
                logits_BTV[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten()
            )
        return CausalLMOutputWithPast(loss=loss, logits=logits_BTV, past_key_values=past_key_values)


def rms_norm(x_BTC: Tensor, eps: float) -> Tensor:
    """Each row divided by its root mean square (Zhang and Sennrich, 2019), without gains."""
    return x_BTC * (x_BTC.square().mean(-1, keepdim=True) + eps).rsqrt()
