"""Spectrograms of WAV files, one above the other, 0 to 11 kHz.

    python3 picture.py OUT.png A.wav [B.wav ...]
"""

import sys

import matplotlib
import numpy as np
import soundfile

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

WINDOW, HOP, HIGHEST = 1024, 128, 11_000


def spectrogram(samples):
    padded = np.pad(samples, WINDOW // 2)
    cut = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW)
    return 20 * np.log10(np.abs(np.fft.rfft(cut)) + 1e-4).T


def draw(paths, out):
    figure, axes = plt.subplots(len(paths), 1, figsize=(9, 2.8 * len(paths)), squeeze=False)
    for axis, path in zip(axes[:, 0], paths):
        samples, rate = soundfile.read(path)
        rows = int(HIGHEST * WINDOW / rate)
        levels = spectrogram(samples)[:rows]
        axis.imshow(levels, origin="lower", aspect="auto", cmap="magma", vmin=levels.max() - 75, vmax=levels.max(),
                    extent=(0, len(samples) / rate, 0, HIGHEST / 1000))
        axis.set(xlabel="s", ylabel="kHz")
    figure.tight_layout()
    figure.savefig(out, dpi=80)


if __name__ == "__main__":
    draw(sys.argv[2:], sys.argv[1])
