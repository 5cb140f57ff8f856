"""Pieces of tokens, joined, are the text: with a small tokenizer of each family."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from saematch.models.texts import tokenise
from saematch.models.token_text import Pieces

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "  if x:\n\treturn  [1, 2]\n\n# naïve café",
    "🙂🙃 日本 the fox 🙂the",
    "the replacement � of � the fox",
]
# no emoji, no kanji: those are left to single bytes
LEARNT = ["the quick brown fox jumps over the lazy dog", "return the fox", "if x: naïve café"] * 9


def trained(model, trainer, **parts) -> Tokenizer:
    made = Tokenizer(model)
    for name, part in parts.items():
        setattr(made, name, part)
    made.train_from_iterator(LEARNT, trainer)
    return made


def byte_level() -> Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(
        models.BPE(),
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<s>"], initial_alphabet=alphabet, show_progress=False
        ),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
    )


def llama() -> Tokenizer:
    """Spaces are letters, one more is put before the text, and unknown letters become bytes."""
    single = [f"<0x{i:02X}>" for i in range(256)]
    made = trained(
        models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
        trainers.BpeTrainer(
            vocab_size=340, special_tokens=["<unk>", "<s>", *single], show_progress=False
        ),
        normalizer=normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]  # pyright: ignore[reportArgumentType]
        ),
        decoder=decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        ),
    )
    return made


def metaspace() -> Tokenizer:
    alphabet = sorted({letter for text in TEXTS for letter in text if not letter.isspace()})
    return trained(
        models.Unigram(),
        trainers.UnigramTrainer(
            vocab_size=120,
            special_tokens=["<unk>", "<s>"],
            unk_token="<unk>",
            initial_alphabet=["\n", "\t", "▁", *alphabet],
            show_progress=False,
        ),
        pre_tokenizer=pre_tokenizers.Metaspace(),
        decoder=decoders.Metaspace(),
    )


def word_piece() -> Tokenizer:
    return trained(
        models.WordPiece(unk_token="[UNK]"),  # pyright: ignore[reportCallIssue]
        trainers.WordPieceTrainer(
            vocab_size=90, special_tokens=["[UNK]", "[CLS]"], show_progress=False
        ),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
    )


def wrapped(inner: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=inner, **(special or {"bos_token": "<s>"}))


@pytest.mark.parametrize("family", [byte_level, llama, metaspace])
@pytest.mark.parametrize("text", TEXTS)
def test_joined_pieces_are_the_text(family, text):
    tokenizer = wrapped(family())
    (ids,) = tokenise([text], tokenizer)
    pieces = Pieces(tokenizer).of_example(ids[1:].tolist())
    assert len(pieces) == len(ids) - 1
    assert "".join(pieces) == tokenizer.decode(ids[1:].tolist())
    # to this one a space at the start is the one that it puts there itself
    assert "".join(pieces) == (text[1:] if family is metaspace and text[0] == " " else text)


def test_word_pieces_are_parted_where_words_are():
    tokenizer = wrapped(word_piece(), cls_token="[CLS]", unk_token="[UNK]")
    (ids,) = tokenise(["the  lazy foxes jumps"], tokenizer)
    pieces = Pieces(tokenizer).of_example(ids[1:].tolist())
    assert any("##" in token for token in tokenizer.convert_ids_to_tokens(ids.tolist()))
    # of two spaces the tokenizer keeps one
    assert "".join(pieces) == "the lazy foxes jumps"
    assert pieces[0] == "the"[: len(pieces[0])]


def test_a_character_of_several_tokens_stands_with_the_last():
    tokenizer = wrapped(byte_level())
    (ids,) = tokenise(["x🙂🙃y"], tokenizer)
    assert Pieces(tokenizer)(ids[1:].tolist()) == ["x", *[""] * 3, "🙂", *[""] * 3, "🙃", "y"]
    # cut in the middle there is no character to show
    assert Pieces(tokenizer)(ids[1:4].tolist()) == ["x", "�", "�"]


def test_where_no_token_is_put_before_a_text_its_own_first_is_left_out():
    tokenizer = wrapped(llama(), eos_token="<s>")
    (ids,) = tokenise(["the fox"], tokenizer)
    pieces = [tokenizer.decode(ids[:1].tolist()), *Pieces(tokenizer).of_example(ids[1:].tolist())]
    assert "".join(map(str, pieces)) == "the fox"
