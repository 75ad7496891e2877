"""Tokenizers of different habits, made on the spot: each as a known family of models has it, but small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import ByteLevel, Sequence, TemplateProcessing
from transformers import PreTrainedTokenizerFast

_TEXTS = [
    "Can I freeze cooked risotto?",
    "yes no maybe",
    "The dough rose in the warm kitchen.",
    "Hi there, user",
]
_TEXTS += [f"{a} {b}" for a in ("model", "assistant", "system", "Human:") for b in ("yes", "no", "a", "Hi")]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
    + CHATML
)
LLAMA_2 = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
LLAMA_3 = (
    "{% for m in messages %}{% set c = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content']"
    " | trim + '<|eot_id|>' %}{% if loop.first %}{% set c = bos_token + c %}{% endif %}{{ c }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
THINKING = CHATML.replace("assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif")
DATED = "{{ 'Today: ' + strftime_now('%d %b %Y') + '\n' }}" + CHATML


@dataclass(frozen=True)
class Habit:
    """What one family does: begin is written before plain text; exact: decoding gives the text back."""

    name: str
    make: Callable[[], Any]
    begin: str = ""
    exact: bool = True
    systems: bool = True  # its chat template takes a system message
    ends: tuple[str, ...] = ()  # what a whole turn ends with, by its chat template

    @cache  # noqa: B019 (one small tokenizer for each habit)
    def tokenizer(self) -> Any:
        return self.make()

    def __str__(self) -> str:
        return self.name


def _wrap(raw: Tokenizer, special: list[str], chat: str | None, **named: Any) -> Any:
    raw.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    made = PreTrainedTokenizerFast(tokenizer_object=raw, **named)
    made.chat_template = chat
    return made


def _byte_level(prefix: bool = False) -> Tokenizer:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        _TEXTS, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    )
    return raw


def _begins(raw: Tokenizer, begin: str, end: str = "") -> TemplateProcessing:
    tokens = [(t, raw.token_to_id(t)) for t in (begin, end) if t]
    return TemplateProcessing(f"{begin} $A {end}".strip(), None, tokens)


def gpt2() -> Any:
    """No begin, no pad, no chat."""
    return _wrap(_byte_level(), ["<|endoftext|>"], None, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def prefix_space() -> Any:
    """Byte-level, with a space put before every text; a token for unknown alone."""
    return _wrap(
        _byte_level(prefix=True),
        ["<unk>"],
        CHATML.replace("<|im_end|>", "").replace("<|im_start|>", "@"),
        unk_token="<unk>",
    )


def pad_is_eos() -> Any:
    chat = CHATML.replace("<|im_end|>", "</s>").replace("<|im_start|>", "@")
    names = {"eos_token": "</s>", "pad_token": "</s>", "padding_side": "left"}
    return _wrap(_byte_level(), ["</s>"], chat, **names)


def qwen(chat: str = CHATML) -> Any:
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    made = _wrap(_byte_level(), special, chat, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    return made


def smollm() -> Any:
    """A begin token that is never written, a default system message, pad = eos."""
    names = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    return _wrap(_byte_level(), ["<|im_start|>", "<|im_end|>"], DEFAULT_SYSTEM, **names)


def _sentence_pieces(first: list[str]) -> models.BPE:
    """BPE over "▁"-marked words, with the 256 bytes for what it does not know."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    raw.train_from_iterator(_TEXTS, trainers.BpeTrainer(vocab_size=200, show_progress=False))
    import json

    state = json.loads(raw.to_str())["model"]
    pieces = sorted(state["vocab"], key=state["vocab"].get)
    names = [*first, *(f"<0x{i:02X}>" for i in range(256)), *pieces]
    merges = [tuple(m) for m in state["merges"]]
    vocabulary = {name: i for i, name in enumerate(names)}
    return models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)


def llama_2(legacy: bool = False) -> Any:
    """SentencePiece: bos, and a space put before every text (legacy: after every special token as well)."""
    raw = Tokenizer(_sentence_pieces(["<unk>", "<s>", "</s>"]))
    if legacy:
        spaces = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        raw.normalizer = normalizers.Sequence(spaces)
    else:
        raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    raw.decoder = decoders.Sequence(steps)
    raw.add_special_tokens(["<unk>", "<s>", "</s>"])
    raw.post_processor = _begins(raw, "<s>")
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return _wrap(raw, ["<unk>", "<s>", "</s>"], LLAMA_2, padding_side="left", **names)


def llama_2_legacy() -> Any:
    return llama_2(legacy=True)


def gemma() -> Any:
    """bos by the tokenizer and by the chat template too; spaces kept as they are."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    raw = Tokenizer(_sentence_pieces(special))
    raw.normalizer = normalizers.Replace(" ", "▁")
    raw.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special += ["<start_of_turn>", "<end_of_turn>"]
    raw.add_special_tokens(special)
    raw.post_processor = _begins(raw, "<bos>")
    names = {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk")}
    return _wrap(raw, special, GEMMA, padding_side="left", **names)


def llama_3() -> Any:
    raw = _byte_level()
    special = [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    ]
    raw.add_special_tokens(special)
    raw.post_processor = Sequence([ByteLevel(trim_offsets=False), _begins(raw, special[0])])
    return _wrap(raw, special, LLAMA_3, bos_token=special[0], eos_token="<|eot_id|>")


def bert() -> Any:
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece(cleanup=False)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    alphabet = [chr(i) for i in range(33, 127) if not chr(i).isupper()]
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(_TEXTS, trainer)
    raw.post_processor = _begins(raw, "[CLS]", "[SEP]")
    raw.enable_truncation(16)  # as some are published: not to be followed
    raw.enable_padding(length=16)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return _wrap(raw, special, None, **names)


def xlm_roberta() -> Any:
    """Unigram, whose vocabulary holds "</s>" as a piece that plain text can hit; bos = cls, eos = sep."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = [(chr(i), -9.0) for i in range(33, 127)]
    words = [(f"▁{w}", -4.0) for w in ("yes", "no", "Hi", "user", "Human", "the")]
    pieces = [(t, 0.0) for t in special] + [("▁", -5.0)] + letters + words
    raw = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    raw.decoder = decoders.Metaspace()
    raw.add_special_tokens(special)
    raw.post_processor = _begins(raw, "<s>", "</s>")
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    return _wrap(raw, special, None, pad_token="<pad>", unk_token="<unk>", **names)


HABITS = (
    Habit("gpt2", gpt2),
    Habit("prefix_space", prefix_space, ends=("\n",)),
    Habit("pad_is_eos", pad_is_eos, ends=("</s>", "\n")),
    Habit("qwen", qwen, ends=("<|im_end|>", "\n")),
    Habit("thinking", lambda: qwen(THINKING), ends=("<|im_end|>", "\n")),
    Habit("dated", lambda: qwen(DATED), ends=("<|im_end|>", "\n")),
    Habit("smollm", smollm, ends=("<|im_end|>", "\n")),
    Habit("llama_2", llama_2, begin="<s>", systems=False, ends=("</s>",)),
    Habit("llama_2_legacy", llama_2_legacy, begin="<s>", systems=False, ends=("</s>",)),
    Habit("gemma", gemma, begin="<bos>", systems=False, ends=("<end_of_turn>", "\n")),
    Habit("llama_3", llama_3, begin="<|begin_of_text|>", ends=("<|eot_id|>",)),
    Habit("bert", bert, begin="[CLS]", exact=False),
    Habit("xlm_roberta", xlm_roberta, begin="<s>", exact=False),
)
