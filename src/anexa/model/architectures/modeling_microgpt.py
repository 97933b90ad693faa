"""MicroGPT for Hugging Face transformers: a minimal GPT.

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
from transformers.utils import can_return_tuple

# Name of the cache among the outputs: `past_key_values` in transformers 4, and `cache` in newer
# releases such as 5.24, where the old name is a deprecated alias.
CACHE = "cache" if "cache" in CausalLMOutputWithPast.__dataclass_fields__ else "past_key_values"


class MicroGPTConfig(PretrainedConfig):
    """The sizes of a model, by GPT-2's names.

    Attributes:
        vocab_size: number of different tokens, V.
        n_positions: context length, in tokens.
        n_embd: width, C.
        n_head: number of attention heads, H.
        n_layer: number of blocks.
        rms_norm_epsilon: added to the mean square in every RMSNorm, before the root.

    Other arguments are those of every transformers configuration, such as `bos_token_id`.

    Raises:
        ValueError: if `tie_word_embeddings` is true.
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
        if tie_word_embeddings:
            raise ValueError("microgpt's output head is untied: leave tie_word_embeddings false")
        self.vocab_size = vocab_size
        self.n_positions = n_positions
        self.n_embd = n_embd
        self.n_head = n_head
        self.n_layer = n_layer
        self.rms_norm_epsilon = rms_norm_epsilon
        super().__init__(tie_word_embeddings=tie_word_embeddings, **others)


class MicroGPTBlock(nn.Module):
    """Transformer block: attention, then an MLP, each added to the residual stream.

    Args:
        config: sizes of the model.
        layer: index of the block, under which its keys and values are in the cache.
    """

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

    def forward(
        self, x_BTC: Tensor, mask_BHTS: Tensor, cache: Cache | None, cache_position_T: Tensor
    ) -> Tensor:
        """Compute the residual stream after this block, shape (B, T, C).

        Args:
            x_BTC: residual stream before this block.
            mask_BHTS: attention mask (H is 1): boolean, true where a query attends to a key; or
                additive.
            cache: KV cache that the new keys and values are appended to; None: no cache.
            cache_position_T: positions of the new keys and values in the cache.
        """
        h_BTC = rms_norm(x_BTC, self.eps)
        q_BHTD, k_BHSD, v_BHSD = (
            project(h_BTC).unflatten(-1, (self.n_head, -1)).transpose(1, 2)
            for project in (self.attn_wq, self.attn_wk, self.attn_wv)
        )
        if cache is not None:
            k_BHSD, v_BHSD = cache.update(
                k_BHSD, v_BHSD, self.layer, {"cache_position": cache_position_T}
            )
            if mask_BHTS.dtype == torch.bool:  # a static cache has keys that are not filled yet
                unfilled = k_BHSD.shape[-2] - mask_BHTS.shape[-1]
                mask_BHTS = functional.pad(mask_BHTS, (0, unfilled), value=False)
        h_BHTD = functional.scaled_dot_product_attention(q_BHTD, k_BHSD, v_BHSD, mask_BHTS)
        x_BTC = x_BTC + self.attn_wo(h_BHTD.transpose(1, 2).flatten(-2))
        h_BTC = rms_norm(x_BTC, self.eps)
        result: Tensor = x_BTC + self.mlp_fc2(functional.relu(self.mlp_fc1(h_BTC)))
        return result


class MicroGPTForCausalLM(PreTrainedModel, GenerationMixin):
    """The model with its head, from token ids to logits."""

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
        """Return the token embedding table."""
        return self.wte

    def get_output_embeddings(self) -> nn.Module:
        """Return the output head, the linear layer from the residual stream to logits."""
        return self.lm_head

    def _init_weights(self, module: nn.Module) -> None:
        """Draw all weights from N(0, 0.08²)."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.08)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        cache: Cache | None = None,
        num_items_in_batch: int | Tensor | None = None,
        **others: Any,
    ) -> CausalLMOutputWithPast:
        """Compute logits, and the loss in nats if there are labels.

        Args:
            input_ids: tokens, shape (B, T).
            attention_mask: (B, S), 0 for padding; or (B, 1, T, S), boolean (true where a query
                attends to a key) or additive; None: no padding.
            position_ids: positions, shape (B, T); None: counted from the first token that is not
                padding; with a 4-D mask, from the beginning of the cache.
            past_key_values: older name of `cache`.
            labels: targets, shape (B, T): `input_ids` itself, and -100 where there is no target.
            use_cache: whether to create a cache if none is given; None: no.
            logits_to_keep: number of last tokens to compute logits for, or indices of tokens, shape
                (K,); 0: all. Without `labels` only.
            cache: KV cache that the new keys and values are appended to.
            num_items_in_batch: number of targets to divide the sum of losses by; None: the number
                in this batch (mean loss).
            others: `return_dict`; `cache_position`, which must be the end of the cache;
                `output_attentions` and `output_hidden_states`, if not true; any other, if None.

        Returns:
            The logits, shape (B, T, V), or (B, K, V) for K kept tokens; the loss (None without
            labels); and the KV cache with the new tokens.

        Raises:
            TypeError: if another argument is not None, or if attentions or hidden states are asked
                for, in the call or in the configuration.
            ValueError: if `cache_position` is not the end of the cache, two caches are given, or
                labels together with `logits_to_keep`.
        """
        if cache is not None and past_key_values is not None and cache is not past_key_values:
            raise ValueError("cache and past_key_values are two names of one argument: pass one")
        if labels is not None and not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            raise ValueError("a loss needs the logits of all tokens: leave logits_to_keep out")
        cache = past_key_values if cache is None else cache
        if use_cache and cache is None:
            cache = DynamicCache()
        start = cache.get_seq_length() if cache is not None else 0
        n = input_ids.shape[1]
        cache_position_T = torch.arange(start, start + n, device=input_ids.device)
        self._refuse(others, cache_position_T)
        mask_BHTS, position_BT = self._causal_mask(attention_mask, cache_position_T)
        position_BT = position_BT if position_ids is None else position_ids
        eps = self.config.rms_norm_epsilon
        x_BTC = rms_norm(self.wte(input_ids) + self.wpe(position_BT), eps)
        for block in self.layers:
            x_BTC = block(x_BTC, mask_BHTS, cache, cache_position_T)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits_BTV = self.lm_head(x_BTC[:, kept])
        loss = None
        if labels is not None:
            losses = functional.cross_entropy(
                logits_BTV[:, :-1].flatten(0, 1).float(),
                labels[:, 1:].flatten(),
                reduction="mean" if num_items_in_batch is None else "sum",
            )
            loss = losses if num_items_in_batch is None else losses / num_items_in_batch
        return CausalLMOutputWithPast(loss=loss, logits=logits_BTV, **{CACHE: cache})

    def _causal_mask(
        self, attention_mask: Tensor | None, cache_position_T: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Build the attention mask (B, 1, T, S), or take it as given, and positions (B, T).

        Args:
            attention_mask: (B, S), 0 for padding, from which the mask is built; (B, 1, T, S), which
                is returned as it is; or None for no padding.
            cache_position_T: positions of the new tokens in the cache, padding included.

        Returns:
            The mask, and the positions.
        """
        if attention_mask is not None and attention_mask.ndim == 4:
            return attention_mask, cache_position_T[None]
        n = int(cache_position_T[-1]) + 1
        cache_position_S = torch.arange(n, device=cache_position_T.device)
        mask_BHTS = (cache_position_S <= cache_position_T[:, None])[None, None]
        if attention_mask is None:
            return mask_BHTS, cache_position_T[None]
        filled_BHTS = attention_mask.bool()[:, None, None, :n]
        # A token attends to itself, so that padding too has something to look at.
        itself = cache_position_S == cache_position_T[:, None]
        position_BS = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        return (mask_BHTS & filled_BHTS) | itself, position_BS[:, cache_position_T]

    def _refuse(self, others: dict[str, Any], cache_position_T: Tensor) -> None:
        """Check that unknown arguments of `forward` do not ask for another result.

        Args:
            others: arguments by name that `forward` does not use.
            cache_position_T: positions of the new tokens in the cache.

        Raises:
            TypeError: if an argument is not None, or if attentions or hidden states are asked for,
                in the call or in the configuration.
            ValueError: if `cache_position` is not the end of the cache.
        """
        given = others.pop("cache_position", None)
        if given is not None and not torch.equal(given.to(cache_position_T), cache_position_T):
            raise ValueError(
                f"cache_position begins at {int(given[0])}, but the cache ends at "
                f"{int(cache_position_T[0])}: leave cache_position out"
            )
        for name in ("output_attentions", "output_hidden_states"):
            wanted, place = others.pop(name, None), "in the call"
            if wanted is None:
                wanted, place = getattr(self.config, name, False), "in the configuration"
            if wanted:
                raise TypeError(f"microgpt's code does not return them: leave {name} false {place}")
        for name, value in others.items():
            if value is not None:
                raise TypeError(f"microgpt has no argument {name}: leave it out, or pass None")


def rms_norm(x_BTC: Tensor, eps: float) -> Tensor:
    """Divide the vector of each token by its root mean square (Zhang and Sennrich, 2019)."""
    return x_BTC * (x_BTC.square().mean(-1, keepdim=True) + eps).rsqrt()
