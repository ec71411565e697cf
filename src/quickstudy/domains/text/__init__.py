"""Text: sentences as bytes or as the features of a frozen encoder, and the small encoders that read them."""

from quickstudy.registry import Domain

DOMAIN = Domain(
    "text",
    tasks={
        "from_texts": "quickstudy.domains.text.from_texts:from_texts",
        "from_multi_label": "quickstudy.domains.text.from_multi_label:from_multi_label",
        "from_tokens": "quickstudy.domains.text.from_tokens:from_tokens",
        "from_pairs": "quickstudy.domains.text.from_pairs:from_pairs",
        "from_conll": "quickstudy.domains.text.conll:from_conll",
        "from_json_lines": "quickstudy.domains.text.json_lines:from_json_lines",
        "TransformersEncoder": "quickstudy.domains.text.transformers_encoder:TransformersEncoder",
        "Bytes": "quickstudy.domains.text.bytes:Bytes",
        "PermuteLetters": "quickstudy.domains.text.permute_letters:PermuteLetters",
        "Strings": "quickstudy.domains.text.strings.rows:Strings",
        "Formats": "quickstudy.domains.text.strings.families:Formats",
        "Inflections": "quickstudy.domains.text.strings.families:Inflections",
        "PhraseTranslations": "quickstudy.domains.text.strings.families:PhraseTranslations",
    },
    networks={
        "byte_conv": "quickstudy.domains.text.encoders:ByteConv",
        "byte_transformer": "quickstudy.domains.text.encoders:ByteTransformer",
        "ngram_bag": "quickstudy.domains.text.encoders:NGramBag",
        "ngram_frequencies": "quickstudy.domains.text.encoders:NGramFrequencies",
    },
    kind="quickstudy.domains.text.kind:TEXTS",
)
