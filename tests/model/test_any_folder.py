"""Any folder loads, or an error says what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.model.folder import create_folder
from anexa.model.loading import load_model
from tests.examples import examples
from tests.model.helpers import FILES, MODEL

# ------------------------------------------------------------------ opening anything at all


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one folder of a tiny model for many corrupted files."""
    folder = tmp_path_factory.mktemp("spoilt") / "model"
    create_folder(folder, MODEL, "")
    return folder


def opens_or_says_why(folder: Path, name: str, content: bytes) -> None:
    """Load a folder; any exception but AnexaError fails the test."""
    path = folder / name
    before = path.read_bytes()
    path.write_bytes(content)
    message = str(folder)
    try:
        tokenizer = load_model(folder).tokenizer
        tokenizer.decode(tokenizer.encode("cafe"))
    except AnexaError as error:
        message = str(error)
    finally:
        path.write_bytes(before)
    assert str(folder) in message


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Replace, delete or insert up to four bytes, most of them near the beginning."""
    changes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["replace", "delete", "insert", "cut"]),
                st.floats(0, 1),
                st.integers(0, 255) | st.sampled_from(list(b'{}[]",:0-.e')),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def mutate(content: bytes) -> bytes:
        for kind, where, byte in changes:
            i = int(where**3 * len(content))
            new = b"" if kind == "delete" else bytes([byte])
            rest = b"" if kind == "cut" else content[i + (kind != "insert") :]
            content = content[:i] + new + rest
        return content

    return mutate


@pytest.mark.parametrize("name", FILES)
@examples(200)
@given(mutate=mutations())
def test_file_with_changed_bytes_loads_or_is_refused(
    spoilt: Path, name: str, mutate: Callable[[bytes], bytes]
) -> None:
    opens_or_says_why(spoilt, name, mutate((spoilt / name).read_bytes()))


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**4), 10**4)
    | st.floats()
    | st.sampled_from([2**63, -(2**70), 10**300, 1e300])
    | st.text(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
SIZES = ("n_embd", "n_head", "n_layer", "n_positions", "vocab_size", "layer_norm_epsilon")


@examples(200)
@given(
    changes=st.dictionaries(
        st.sampled_from([*SIZES, "n_inner", "model_type", "activation_function"]),
        values,
        min_size=1,
    )
)
def test_config_with_any_values_loads_or_is_refused(spoilt: Path, changes: dict[str, Any]) -> None:
    """But not with 10**300 layers: that many weights are looked for one by one."""
    if isinstance(n_layer := changes.get("n_layer"), int) and n_layer > 10**4:
        del changes["n_layer"]
    config = json.loads((spoilt / "config.json").read_text("utf-8")) | changes
    content = json.dumps(config).encode(errors="surrogatepass")
    opens_or_says_why(spoilt, "config.json", content)


@examples(200)
@given(
    entries=st.dictionaries(
        st.sampled_from(["wte.weight", "ln_f.bias", "__metadata__", "x"]),
        values
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F64", "F16", "BF16", "I64", "F8_E4M3", "?"])
                | values,
                "shape": st.lists(st.integers(-1, 9), max_size=3) | values,
                "data_offsets": st.lists(st.integers(-1, 64), min_size=2, max_size=2) | values,
            }
        ),
        max_size=3,
    )
)
def test_weights_with_any_header_load_or_are_refused(spoilt: Path, entries: dict[str, Any]) -> None:
    header = json.dumps(entries).encode(errors="surrogatepass")
    content = len(header).to_bytes(8, "little") + header + bytes(64)
    opens_or_says_why(spoilt, "model.safetensors", content)


TOKENIZER_PARTS = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder")


@examples(200)
@given(
    changes=st.dictionaries(
        st.sampled_from([*TOKENIZER_PARTS, "model", "version", "truncation", "padding"]),
        values,
        min_size=1,
    )
)
def test_tokenizer_with_any_parts_loads_or_is_refused(
    spoilt: Path, changes: dict[str, Any]
) -> None:
    whole = json.loads((spoilt / "tokenizer.json").read_text("utf-8")) | changes
    content = json.dumps(whole).encode(errors="surrogatepass")
    opens_or_says_why(spoilt, "tokenizer.json", content)
