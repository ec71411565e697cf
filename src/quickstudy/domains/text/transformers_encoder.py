"""TransformersEncoder: the sentence encoders that people use, read from a folder through the package transformers."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.text.encoder import TextEncoder
from quickstudy.domains.text.encoders.pooling import masked_mean
from quickstudy.domains.text.transformers_network import TransformersNetwork
from quickstudy.errors import ArgumentError, CheckpointError, DataWarning, MissingPackageError, UnsupportedError

UNBOUNDED = 1e9  # tokens: a tokenizer without a limit says 1e30


@checked
class TransformersEncoder(TextEncoder):
    """A frozen encoder of the package transformers, as a text encoder.

        z  =  mean over tokens h_i        pool="mean", of sentence-transformers' models;        h_1  for pool="first", BERT's own
        z  <- z / |z|                     normalise=True

    Only safetensors are read, and no code that comes with a model is run. Nothing is fetched unless a name is given in place of a
    folder.

    Args:
        path: a folder with config.json, model.safetensors and a tokenizer; or a name on the Hugging Face hub.
        length: tokens that are read of a text; None: as many as the model takes. A longer text is cut, and said.
        pool, normalise: see above.
        batch: texts at once.

    Raises:
        MissingPackageError: transformers is not installed.
        CheckpointError: no such model, or one without safetensors; a tokenizer that does not fit the weights.
        ArgumentError: a length that the model does not take.

    Source: Reimers & Gurevych, "Sentence-BERT", EMNLP 2019, section 3, for the mean.

    Examples:
        A random model of bytes, in place of a trained one:

        >>> from transformers import BertConfig, BertModel, ByT5Tokenizer
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        >>> BertModel(BertConfig(vocab_size=384, **sizes)).save_pretrained("tiny")
        >>> files = ByT5Tokenizer().save_pretrained("tiny")
        >>> encoder = qs.tasks.TransformersEncoder("tiny", length=64)
        >>> encoder.encode(["good day", "buenos días"]).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        path: str | Path,
        *,
        length: PositiveInt | None = None,
        pool: Literal["mean", "first"] = "mean",
        normalise: bool = True,
        batch: PositiveInt = 64,
    ):
        with _quiet() as transformers:
            try:
                tokenizer = transformers.AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
                model: nn.Module = transformers.AutoModel.from_pretrained(
                    str(path), trust_remote_code=False, use_safetensors=True, dtype=torch.float32
                )
            except (OSError, ValueError, KeyError) as error:
                raise CheckpointError(
                    str(path),
                    expected="a folder with config.json, model.safetensors and a tokenizer",
                    got=" ".join(str(error).split())[:200],
                    do="Give the folder that sentence-transformers or transformers saved.",
                ) from error
        self.model, self.tokenizer = model.eval().requires_grad_(False), tokenizer
        settings: Any = model.config
        rows = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
        if len(tokenizer) > rows:
            raise CheckpointError(
                str(path),
                expected=f"a tokenizer of at most {rows} tokens, as many as the weights have",
                got=f"one of {len(tokenizer)}",
                do="Take the tokenizer that came with these weights.",
            )
        limits = (getattr(settings, "max_position_embeddings", None), tokenizer.model_max_length)  # RoBERTa's places begin at 2
        most = min((int(one) for one in limits if one and one < UNBOUNDED), default=None)
        if length is not None and most is not None and length > most:
            raise ArgumentError(
                "length", expected=f"at most {most} tokens, as the model takes", got=str(length), do="Leave it out."
            )
        self.length, self.pool, self.normalise, self.batch = length or most or 512, pool, normalise, batch
        self.features = int(settings.hidden_size)
        self.key = self._hashed()

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """(texts, features); texts of about one length are encoded together."""
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        found = torch.empty(len(texts), self.features)
        longer = most = 0
        for start in range(0, len(texts), self.batch):
            rows = order[start : start + self.batch]
            whole = self.tokenizer([texts[row] for row in rows], truncation=False, verbose=False)["input_ids"]
            longer, most = longer + sum(len(one) > self.length for one in whole), max(most, *map(len, whole))
            tokens = self.tokenizer(
                [texts[row] for row in rows], truncation=True, max_length=self.length, padding=True, return_tensors="pt"
            )
            h = self.model(**tokens).last_hidden_state
            z = masked_mean(h, tokens["attention_mask"].bool()) if self.pool == "mean" else h[:, 0]
            found[torch.tensor(rows)] = F.normalize(z, dim=-1) if self.normalise else z
        self._say_of_longer(longer, len(texts), most)
        return found

    @torch.no_grad()
    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[Tensor]:
        """Of each word the mean of its pieces, or the first for pool="first"; NaN for a word behind `length`."""
        order = sorted(range(len(sentences)), key=lambda row: sum(map(len, sentences[row])))
        found: dict[int, Tensor] = {}
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            ids, words = self.pieces([sentences[row] for row in rows])
            mask = (ids >= 0).long()
            h = self.model(input_ids=ids.clamp(min=0).long(), attention_mask=mask).last_hidden_state
            for row, own, of in zip(rows, h, words, strict=True):
                found[row] = self._of_words(own, of)
        return [found[row] for row in range(len(sentences))]

    def _of_words(self, h: Tensor, words: list[list[int]]) -> Tensor:
        first = self.pool == "first"
        nothing = h.new_full((h.shape[-1],), torch.nan)
        z = torch.stack([nothing if not own else h[own[0]] if first else h[own].mean(0) for own in words])
        return F.normalize(z, dim=-1) if self.normalise else z

    def pieces(self, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, list[list[list[int]]]]:
        """The pieces of sentences, words with a space between them, and which of them are of each word.

        Returns:
            ids, int64 (sentences, pieces), -1 behind the last; and the places of each word's pieces, none if it is not read.

        Raises:
            UnsupportedError: a tokenizer that does not say from which characters its pieces are.
        """
        if not self.tokenizer.is_fast:
            raise UnsupportedError(
                "encoder",
                expected="a tokenizer that says from which characters its pieces are: a fast one, with a tokenizer.json",
                got=type(self.tokenizer).__name__,
                do="Save the tokenizer's fast form, or use features of whole texts.",
            )
        cut = {"truncation": True, "max_length": self.length, "return_offsets_mapping": True}
        read = self.tokenizer([" ".join(words) for words in sentences], **cut)
        ids = [torch.tensor(own) for own in read["input_ids"]]
        places = [_places(words, offsets) for words, offsets in zip(sentences, read["offset_mapping"], strict=True)]
        return torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=-1), places

    def check_lengths(self, texts: Sequence[str]) -> None:
        """Warn of texts that are longer than what is read."""
        tokens = [len(one) for one in self.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]]
        self._say_of_longer(sum(n > self.length for n in tokens), len(texts), max(tokens, default=0))

    def _say_of_longer(self, longer: int, texts: int, most: int) -> None:
        if longer:
            said = f"{longer} of {texts} are longer than the {self.length} tokens that are read, the longest of {most}"
            warnings.warn(f"`texts`: {said}. The rest of them is not read.", DataWarning, stacklevel=3)

    def network(self, outputs: PositiveInt, *, tokens: bool = False, seed: int = 0) -> TransformersNetwork:
        """A copy of the model with a new linear head, to be trained. Only the head requires a gradient: see `models.LoRA`.

        Args:
            outputs: of the head.
            tokens: an output for each piece, for labels of tokens; otherwise one for the text, pooled as by the encoder.
            seed: of the head's initial weights.
        """
        return TransformersNetwork(self.model, outputs, pool=None if tokens else self.pool, seed=seed)

    def _hashed(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy()))
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        vocabulary = backend.to_str() if backend is not None else repr(sorted(self.tokenizer.get_vocab().items()))
        digest.update(f"{vocabulary} {self.length} {self.pool} {self.normalise}".encode())
        return digest.hexdigest()


def _places(words: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The pieces of each word, by the last character of each piece: its first may be the space before."""
    owner = [word for word, own in enumerate(words) for _ in range(len(own) + 1)]  # of each character, with the space behind it
    found: list[list[int]] = [[] for _ in words]
    for place, (start, end) in enumerate(offsets):
        if end > start:  # special tokens are of no character
            found[owner[end - 1]].append(place)
    return found


@contextmanager
def _quiet() -> Iterator[Any]:
    """The package, without its bars and its word on standard error."""
    try:
        import transformers
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "encoder", expected="the package transformers", got="none installed", do="pip install 'quickstudy[text]'."
        ) from error
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
