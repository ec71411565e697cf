"""Audio: recordings of words, voices and other sounds, and the small encoders that hear them."""

from quickstudy.registry import Domain

DOMAIN = Domain(
    "audio",
    tasks={
        "from_recordings": "quickstudy.domains.audio.from_recordings:from_recordings",
        "SpokenWords": "quickstudy.domains.audio.words.spoken_words:SpokenWords",
        "SpokenStrings": "quickstudy.domains.audio.spoken_strings:SpokenStrings",
        "SpeechEmbedding": "quickstudy.domains.audio.speech_embedding:SpeechEmbedding",
        "VoiceEmbedding": "quickstudy.domains.audio.voice_embedding:VoiceEmbedding",
        "Waveform": "quickstudy.domains.audio.waveform:Waveform",
        "AddNoise": "quickstudy.domains.audio.augmentation.add_noise:AddNoise",
        "ChangePitch": "quickstudy.domains.audio.augmentation.change_pitch:ChangePitch",
        "ChangeTempo": "quickstudy.domains.audio.augmentation.change_tempo:ChangeTempo",
        "Reverberate": "quickstudy.domains.audio.augmentation.reverberate:Reverberate",
        "SpecAugment": "quickstudy.domains.audio.augmentation.spec_augment:SpecAugment",
    },
    sources={"spoken-words": "SpokenWords"},
    networks={
        "tc_resnet": "quickstudy.domains.audio.encoders.on_samples:tc_resnet",
        "mel_conv4": "quickstudy.domains.audio.encoders.on_samples:mel_conv4",
        "word_conv": "quickstudy.domains.audio.encoders.on_samples:word_conv",
    },
    kind="quickstudy.domains.audio.kind:RECORDINGS",
)
