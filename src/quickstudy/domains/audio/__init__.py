"""Audio: recordings of words, voices and other sounds, and the small encoders that hear them."""

from quickstudy.registry import Domain

DOMAIN = Domain(
    "audio",
    tasks={
        "Waveform": "quickstudy.domains.audio.waveform:Waveform",
        "SpokenWords": "quickstudy.domains.audio.words.spoken_words:SpokenWords",
        "SpokenStrings": "quickstudy.domains.audio.spoken_strings:SpokenStrings",
    },
    sources={"spoken-words": "SpokenWords"},
    kind="quickstudy.domains.audio.kind:RECORDINGS",
)
