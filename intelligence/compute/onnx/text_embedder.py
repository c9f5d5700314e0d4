"""Words in the space of CLIP's pictures: the tokeniser and the text tower."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from intelligence.compute.base import Vector
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.image_embedder import Output, one_vector, output_dimension
from intelligence.compute.onnx.session import Array, ModelSession
from intelligence.compute.onnx.settings_files import SettingsFile

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TextTokenizer:
    """Always fills up to the full length: a tower that looks at all places was trained on full ones."""

    def __init__(self, folder: Path, *, length: int, canonical: bool = False) -> None:
        """The folder has tokenizer.json and tokenizer_config.json. `canonical` drops case and punctuation."""
        self.length = length
        self._canonical = canonical
        self._tokenizer = _read(folder / "tokenizer.json")
        pad = _pad_token(SettingsFile.read(folder / "tokenizer_config.json"))
        number = self._tokenizer.token_to_id(pad)
        if number is None:
            raise ModelFileError(f"{folder}: the tokenizer does not know its own pad token {pad!r}.")
        self._tokenizer.enable_padding(length=length, pad_token=pad, pad_id=number)
        self._tokenizer.enable_truncation(max_length=length)

    def tokens(self, text: str) -> tuple[Array, Array]:
        """Ids and attention mask, each of shape (1, length) and int64."""
        encoded = self._tokenizer.encode(self._cleaned(text))
        return np.array([encoded.ids], dtype=np.int64), np.array([encoded.attention_mask], dtype=np.int64)

    def _cleaned(self, text: str) -> str:
        text = " ".join(text.split())
        return " ".join(text.lower().translate(_WITHOUT_PUNCTUATION).split()) if self._canonical else text


class TextEmbedder:
    def __init__(self, session: ModelSession, tokenizer: TextTokenizer) -> None:
        self._session = session
        self._tokenizer = tokenizer

    @property
    def dimension(self) -> int | None:
        """None if the file does not say."""
        return output_dimension(self._session, Output.CLIP_TEXT)

    def embed(self, text: str) -> Vector:
        """A vector of length 1, to be compared with those of the same model's pictures."""
        ids, mask = self._tokenizer.tokens(text)
        feed: dict[str, Array] = {}
        for tensor in self._session.inputs:
            is_mask = tensor.name == "attention_mask"
            if not is_mask and feed.keys() - {"attention_mask"}:
                raise ModelFileError(f"{self._session.file.path} asks for more than a text: {tensor.name}.")
            if tensor.shape[-1] not in (None, self._tokenizer.length):
                message = (
                    f"takes texts of {tensor.shape[-1]} tokens, the tokenizer gives {self._tokenizer.length}"
                )
                raise ModelFileError(f"{self._session.file.path} {message}.")
            feed[tensor.name] = (mask if is_mask else ids).astype(tensor.dtype)
        return one_vector(self._session, Output.CLIP_TEXT, feed)


def _read(path: Path) -> Tokenizer:
    if not path.is_file():
        raise ModelFileError(f"{path} is missing.")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelFileError(f"{path} is no tokenizer: {error}") from error


def _pad_token(settings: SettingsFile) -> str:
    """The token itself, or an object that has it."""
    if isinstance(settings.raw("pad_token"), dict):
        return settings.part("pad_token").word("content", "")
    return settings.word("pad_token", "")
