"""Small trainable encoders of texts: {"ids", "mask"} of `Bytes` in, features out."""

from quickstudy.domains.text.encoders.byte_conv import ByteConv as ByteConv
from quickstudy.domains.text.encoders.byte_transformer import ByteTransformer as ByteTransformer
from quickstudy.domains.text.encoders.ngram_bag import NGramBag as NGramBag
from quickstudy.domains.text.encoders.ngram_frequencies import NGramFrequencies as NGramFrequencies
from quickstudy.domains.text.encoders.ngram_words import NGramWords as NGramWords
