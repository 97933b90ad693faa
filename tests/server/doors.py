"""Inputs that mean the same at every door: command line, Python, API and page."""

from __future__ import annotations

from anexa.thinking.refusals import NOT_ARITHMETIC_REFUSAL, UNSUPPORTED_REFUSAL

# What is asked, and what the bundled model answers.
QUESTIONS = {
    "12+30\n": "42",
    " \t12+30 ": "42",
    "What is\r\n12+30?": "42",
    "12\u00a0+\u00a030": "42",
    "\ufeff12+\u200b30": "42",
    "１２＋３０": "42",
    "١٢+٣٠": "42",
    "12➕3️⃣": "15",
    "“12+30”": "42",
    "12−30": "-18",
    "007+012": "19",
    "1,234 × 5,678": "7006652",
    "1 234+1": "1235",
    "1\u202f234\u202f567+1": "1234568",
    "1’234 – 34": "1200",
    "12 ÷ 30": "0 R 12",
    "1.234+1": UNSUPPORTED_REFUSAL,
    "12+30 🙂": NOT_ARITHMETIC_REFUSAL,
    "5²+3": NOT_ARITHMETIC_REFUSAL,
    "½+3": NOT_ARITHMETIC_REFUSAL,
    "1e3+1": NOT_ARITHMETIC_REFUSAL,
    "0x1F+1": NOT_ARITHMETIC_REFUSAL,
    "0x36": NOT_ARITHMETIC_REFUSAL,
    "1_000+2": "1002",
    "señor": NOT_ARITHMETIC_REFUSAL,
    "привет": NOT_ARITHMETIC_REFUSAL,
    "1\x072": NOT_ARITHMETIC_REFUSAL,
}


def is_sum(answer: str) -> bool:
    """Whether an answer is a value, such as -18 or 0 R 12, and not a sentence of refusal."""
    return answer.lstrip("-")[0].isdigit()


# Values that are refused: name, value and sentence.
REFUSED = [
    ("temperature", -0.5, "temperature must be at least 0, not -0.5"),
    ("top_p", -0.5, "top_p must be at least 0, not -0.5"),
    ("top_p", 1.5, "top_p must be at most 1, not 1.5"),
    ("top_k", 10**12, "top_k must be at most 1,000,000,000, not 1000000000000"),
    ("seed", 2**64, f"seed must be below {2**64:,}, not {2**64}"),
    ("max_tokens", 0, "max_tokens must be at least 1, not 0"),
    ("max_tokens", -3, "max_tokens must be at least 1, not -3"),
    ("max_tokens", 10**12, "max_tokens must be at most 1,000,000,000, not 1000000000000"),
    ("n", 0, "n must be at least 1, not 0"),
    ("stop", "", "stop must not be empty"),
]
