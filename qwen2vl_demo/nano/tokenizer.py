"""Nano's tokenizer: a small byte-level BPE with the layout of Qwen2's tokenizer.json.

Training is deterministic for the same texts. The files that are written, tokenizer.json, tokenizer_config.json and
chat_template.json, are loaded by our own reader and by transformers' AutoTokenizer. The special tokens are last, in
Qwen2-VL's order.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from qwen2vl_demo.nano.dialogue.generator import KINDS, random_dialogue
from qwen2vl_demo.nano.dialogue.phrases import CHAT, ENGLISH_WORDS, PHRASES
from qwen2vl_demo.nano.dialogue.wording import expand_wording, plural
from qwen2vl_demo.nano.world.nouns import NOUNS
from qwen2vl_demo.nano.world.scene import SIGN_WORDS
from qwen2vl_demo.processing.chat import BUILT_IN_TEMPLATE

SPECIAL_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
# Qwen2's pre-tokenizer: single digits, letters with one leading sign or space, signs, line ends, spaces.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
MODEL_MAX_LENGTH = 8192

VOCABULARY = 1664


def train_tokenizer(texts: Iterable[str], vocab_size: int = VOCABULARY) -> Tokenizer:
    """A byte-level BPE of at most `vocab_size` tokens: 256 bytes, the learnt merges, then the special tokens."""
    if vocab_size < 256 + len(SPECIAL_TOKENS):
        raise ValueError(f"vocab_size must be at least {256 + len(SPECIAL_TOKENS)}, not {vocab_size}")
    tokenizer = Tokenizer(BPE(byte_fallback=False, fuse_unk=False))
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        limit_alphabet=256,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer


def extend_tokenizer(old: Tokenizer, texts: Iterable[str], vocab_size: int = VOCABULARY) -> Tokenizer:
    """The tokenizer with more merges, learnt from texts as the old one tokenizes them, up to `vocab_size` tokens.

    Old tokens keep their ids; new ones follow them, and the special tokens, with new ids, are last again.
    """
    if old.get_vocab_size() >= vocab_size:
        return old
    words: Counter[str] = Counter()
    for text in texts:
        words.update(piece for piece, _ in old.pre_tokenizer.pre_tokenize_str(text))
    pieces = [([token.value for token in old.model.tokenize(word)], count) for word, count in words.items()]
    state = json.loads(old.to_str())
    model = state["model"]
    while len(model["vocab"]) + len(SPECIAL_TOKENS) < vocab_size:
        pairs: Counter[tuple[str, str]] = Counter()
        for tokens, count in pieces:
            for pair in itertools.pairwise(tokens):
                pairs[pair] += count
        if not pairs or max(pairs.values()) < 2:
            break
        first, second = min(pairs, key=lambda pair: (-pairs[pair], pair))
        model["merges"].append([first, second])
        model["vocab"].setdefault(first + second, len(model["vocab"]))
        for tokens, _ in pieces:
            at = 0
            while at < len(tokens) - 1:
                if tokens[at] == first and tokens[at + 1] == second:
                    tokens[at : at + 2] = [first + second]
                at += 1
    for index, added in enumerate(state["added_tokens"]):
        added["id"] = len(model["vocab"]) + index
    return Tokenizer.from_str(json.dumps(state))


def write_tokenizer(tokenizer: Tokenizer, directory: str | Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.json into a directory, created if missing."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    added = {
        str(tokenizer.token_to_id(token)): {
            **{"content": token, "lstrip": False, "normalized": False, "rstrip": False},
            **{"single_word": False, "special": True},
        }
        for token in SPECIAL_TOKENS
    }
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "bos_token": None,
        "chat_template": BUILT_IN_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": MODEL_MAX_LENGTH,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    for name, value in (
        ("tokenizer_config.json", config),
        ("chat_template.json", {"chat_template": BUILT_IN_TEMPLATE}),
    ):
        (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _between_special_tokens(text: str) -> list[str]:
    return re.split("|".join(map(re.escape, (*SPECIAL_TOKENS, "\n"))), text)


def vocabulary_texts(n: int = 3000, seed: int = 0) -> Iterator[str]:
    """Texts to train the vocabulary on: questions and answers of `n` conversations, every wording, and plain English.

    Special tokens are removed from them, as they are tokens of their own. Questions in capitals are left out,
    because their many rare pieces would replace ordinary words.
    """
    rng = np.random.default_rng(seed)
    kinds = (*KINDS, "scene", "scene", "text", "document")
    for index in range(n):
        for turn in random_dialogue(rng, kinds[index % len(kinds)], size=(112, 112), turns=6, split="train").turns:
            question, answer = _between_special_tokens(turn.question), _between_special_tokens(turn.answer)
            if not "".join(question).isupper():
                yield from question
            yield from answer
        # Every prompt has the names of the roles and the default system prompt.
        yield from ("system", "user", "assistant", "You are a helpful assistant.")
    for noun in NOUNS:  # without the icons, no conversation names them
        yield from (
            f"{before} {form}" for before in ("the", "The", "a") for form in (noun, plural(noun)) for _ in range(9)
        )
    for word in SIGN_WORDS:  # what is written on signs, and how one asks for it
        yield from (form for form in (word, f"the {word.lower()}") for _ in range(60))
    for _ in range(5):
        for wordings in (*PHRASES.values(), *(questions for questions, _ in CHAT)):
            yield from (re.sub(r"{\w+}", "", text) for wording in wordings for text in expand_wording(wording))
    for _ in range(30):
        yield " ".join(ENGLISH_WORDS.split())
