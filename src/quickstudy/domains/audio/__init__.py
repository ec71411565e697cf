"""Audio: recordings of words, voices and other sounds, and the small encoders that hear them."""

from quickstudy.registry import Domain

DOMAIN = Domain(
    "audio",
    tasks={
        "Waveform": "quickstudy.domains.audio.waveform:Waveform",
    },
    kind="quickstudy.domains.audio.kind:RECORDINGS",
)
