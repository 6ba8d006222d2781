//! Language and sound, pure: text, phonemes, alignment, waveforms.
